//! The real template on a local AWS, by `sam deploy`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use greenlight_sources::test_request::Sent;
use greenlight_testkit::stub::secret_document;
use tokio::io::AsyncWriteExt;

use crate::local_aws::{CREDENTIALS, LocalAws};
use crate::scene::{APPROVAL_CODE, HttpAnswer, NAC_TOKEN, Scene};
use crate::{built, tool, workspace};

/// How long to wait for an expected result: longer than a retry and a cold start together on a
/// slow machine.
pub const TIMEOUT: Duration = Duration::from_mins(3);

/// A deployed stack and its scene.
#[derive(Debug)]
pub struct Stack {
    /// Feishu and the NAC.
    pub scene: Scene,
    /// The local AWS.
    pub aws: LocalAws,
    outputs: HashMap<String, String>,
}

/// Template parameters by name.
pub type Parameters = std::collections::BTreeMap<&'static str, String>;

impl Stack {
    /// Deploys the output of `sam build` and writes the secret.
    ///
    /// # Panics
    /// When it cannot be deployed.
    pub async fn deploy() -> Self {
        let scene = Scene::set().await;
        let secret = secret_document(&scene.app, NAC_TOKEN);
        let template = built_template();
        Self::deploy_with(scene, LocalAws::start().await, &template, &Parameters::new(), &secret)
            .await
    }

    /// Like [`Stack::deploy`], with another template, more parameters and this secret.
    ///
    /// # Panics
    /// When it cannot be deployed.
    pub async fn deploy_with(
        scene: Scene,
        aws: LocalAws,
        template: &Path,
        parameters: &Parameters,
        secret: &serde_json::Value,
    ) -> Self {
        sam_deploy(&aws, &scene, template, parameters);
        let outputs =
            sam(&aws, &["list", "stack-outputs", "--stack-name", "greenlight", "--output", "json"]);
        let outputs: serde_json::Value =
            serde_json::from_str(&outputs).expect("the outputs are JSON");
        let text = |output: &serde_json::Value, key: &str| {
            output[key].as_str().expect("an output has a key and a value").to_owned()
        };
        let outputs = outputs.as_array().expect("the outputs are a list").iter();
        let outputs =
            outputs.map(|output| (text(output, "OutputKey"), text(output, "OutputValue")));
        let stack = Self { scene, outputs: outputs.collect(), aws };
        stack.put_secret(secret).await;
        stack
    }

    /// Runs the operator's command against this stack and returns its output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn greenlight(&self, arguments: &[&str], input: &str) -> Ran {
        Self::run(self.greenlight_command(arguments), input).await
    }

    /// Runs a command with `input` on standard input and returns its output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(mut command: tokio::process::Command, input: &str) -> Ran {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that reads no input may have ended.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The tags of the function that an output names.
    ///
    /// # Panics
    /// When AWS does not return them.
    #[must_use]
    pub fn tags(&self, function: &str) -> serde_json::Value {
        let name = self.output(function);
        let script = format!(
            "import boto3, json
client = boto3.client('lambda')
function = client.get_function(FunctionName='{name}')
configuration = function['Configuration']
print(json.dumps(client.list_tags(Resource=configuration['FunctionArn'])['Tags']))"
        );
        serde_json::from_str(&python(&self.aws, &script)).expect("it prints JSON")
    }

    /// Like [`Stack::greenlight`], by a user who is allowed `actions` only.
    ///
    /// # Panics
    /// When the user cannot be created.
    pub async fn greenlight_as(&self, actions: &[&str], arguments: &[&str]) -> Ran {
        let actions = serde_json::json!(actions);
        let script = format!(
            "import boto3, json
iam = boto3.client('iam')
name = 'user-' + str(len(iam.list_users()['Users']))
iam.create_user(UserName=name)
policy = {{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Action': {actions}, 'Resource': '*'}}]}}
iam.put_user_policy(UserName=name, PolicyName='test', PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName=name)['AccessKey']
print(key['AccessKeyId'], key['SecretAccessKey'])"
        );
        let key = python(&self.aws, &script);
        let (id, secret) = key.trim().split_once(' ').expect("a key has two parts");
        let mut command = self.greenlight_command(arguments);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        Self::run(command, "").await
    }

    /// The operator's command against this stack, not started yet.
    #[must_use]
    pub fn greenlight_command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(built("greenlight"));
        command
            .args(arguments)
            .envs(CREDENTIALS)
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("GREENLIGHT_STACK", "greenlight")
            .kill_on_drop(true);
        command
    }

    /// An output of the template.
    ///
    /// # Panics
    /// When the template has no such output.
    #[must_use]
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the template has no output {name}"))
    }

    /// Writes the secret document.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn put_secret(&self, document: &serde_json::Value) {
        aws_sdk_secretsmanager::Client::new(&self.aws.config())
            .put_secret_value()
            .secret_id(self.output("SecretArn"))
            .secret_string(document.to_string())
            .send()
            .await
            .expect("the secret can be put");
    }

    /// Whether the role of `function` may make `call` of a client of `service`, both as boto3 names
    /// them.
    ///
    /// # Panics
    /// When the call fails for another reason than denied access.
    #[must_use]
    pub fn may(&self, function: &str, service: &str, call: &str) -> bool {
        let name = self.output(function);
        let script = format!(
            "import boto3, botocore.exceptions
role = boto3.client('lambda').get_function_configuration(FunctionName='{name}')['Role']
credentials = boto3.client('sts').assume_role(RoleArn=role, RoleSessionName='test')['Credentials']
session = boto3.Session(credentials['AccessKeyId'], credentials['SecretAccessKey'], credentials['SessionToken'])
try:
    session.client('{service}').{call}
    print('allowed')
except botocore.exceptions.ClientError as error:
    print(error.response['Error']['Code'])"
        );
        match python(&self.aws, &script).trim() {
            "allowed" => true,
            code if code.contains("AccessDenied") => false,
            code => panic!("{call} of {function}: {code}"),
        }
    }

    /// Sends what Feishu would send, through the HTTP API.
    pub async fn send(&self, sent: &Sent) -> HttpAnswer {
        self.send_to("/api/event", sent).await
    }

    /// Like [`Stack::send`], to another path.
    pub async fn send_to(&self, path: &str, sent: &Sent) -> HttpAnswer {
        let host = format!("{}.execute-api.localhost", self.output("ApiId"));
        let url = format!("{}{path}", self.aws.url());
        self.scene.send_to(&url, Some(&host), sent).await
    }

    /// Returns when the whitelist holds `devices` and nothing else.
    ///
    /// # Panics
    /// After [`TIMEOUT`].
    pub async fn wait_for_whitelist(&self, devices: &[String]) {
        let reached = self.scene.nac.wait_for_whitelist(devices);
        let is_reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
        assert!(is_reached, "{:?} and not {devices:?}", self.scene.nac.whitelist());
    }

    /// An item of the ledger.
    ///
    /// # Panics
    /// When the ledger cannot be read.
    pub async fn ledger_item(&self, pk: &str) -> Option<HashMap<String, AttributeValue>> {
        aws_sdk_dynamodb::Client::new(&self.aws.config())
            .get_item()
            .table_name(self.output("LedgerTable"))
            .key("pk", AttributeValue::S(pk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .expect("the ledger can be read")
            .item
    }

    /// Returns when the ledger has recorded the event as processed.
    ///
    /// # Panics
    /// After [`TIMEOUT`].
    pub async fn wait_for_event(&self, event_id: &str) {
        let pk = format!("event#feishu#{}#{event_id}", self.scene.app.tenant_key);
        let processed = async {
            let mut pause = tokio::time::interval(Duration::from_millis(100));
            while self.ledger_item(&pk).await.is_none() {
                pause.tick().await;
            }
        };
        tokio::time::timeout(TIMEOUT, processed).await.expect("the event is processed");
    }

    /// Receives and deletes the next dead letter.
    ///
    /// # Panics
    /// After [`TIMEOUT`].
    pub async fn next_dead_letter(&self) -> Message {
        let sqs = aws_sdk_sqs::Client::new(&self.aws.config());
        let url = self.output("DlqUrl");
        let next = async {
            loop {
                let received = sqs
                    .receive_message()
                    .queue_url(url)
                    .message_attribute_names("All")
                    .wait_time_seconds(10)
                    .send()
                    .await
                    .expect("the dead-letter queue can be read");
                if let Some(message) = received.messages.unwrap_or_default().pop() {
                    return message;
                }
            }
        };
        let message = tokio::time::timeout(TIMEOUT, next).await.expect("a dead letter arrives");
        sqs.delete_message()
            .queue_url(url)
            .receipt_handle(message.receipt_handle().unwrap_or_default())
            .send()
            .await
            .expect("a dead letter can be deleted");
        message
    }

    /// Sends a message to the queue, as any sender could.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn put_message(&self, body: &str) {
        aws_sdk_sqs::Client::new(&self.aws.config())
            .send_message()
            .queue_url(self.output("QueueUrl"))
            .message_body(body)
            .send()
            .await
            .expect("the queue accepts a message");
    }
}

/// Creates a permissions boundary with the rights of greenlight's functions; returns its ARN.
///
/// # Panics
/// When it cannot be created.
#[must_use]
pub fn make_boundary(aws: &LocalAws) -> String {
    let script = "import boto3, json
actions = ['sqs:*', 'dynamodb:*', 'secretsmanager:*', 'logs:*', 'ec2:*', 'kms:*']
policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': actions, 'Resource': '*'}]}
made = boto3.client('iam').create_policy(PolicyName='boundary', PolicyDocument=json.dumps(policy))
print(made['Policy']['Arn'])";
    python(aws, script).trim().to_owned()
}

/// The output and exit status of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The path of the template from `sam build`.
///
/// # Panics
/// When it does not exist.
#[must_use]
pub fn built_template() -> PathBuf {
    let template = workspace().join(".aws-sam/build/template.yaml");
    assert!(template.exists(), "nothing is built: run `cargo verify bundle` first");
    template
}

fn sam_deploy(aws: &LocalAws, scene: &Scene, template: &Path, more: &Parameters) {
    let mut parameters = Parameters::from([
        ("ApprovalCode", APPROVAL_CODE.to_owned()),
        ("NacUrl", scene.nac.url()),
        ("Flows", scene.flows()),
    ]);
    parameters.extend(more.clone());
    // JSON is YAML, too.
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file can be made");
    serde_json::to_writer(&file, &parameters).expect("the parameters can be written");
    let parameters = format!("file://{}", file.path().display());
    let template = template.to_string_lossy();
    // Otherwise SAM looks for it beside the template.
    let config = workspace().join("infra/samconfig.toml");
    let config = config.to_string_lossy();
    let mut deploy = vec!["deploy", "--stack-name", "greenlight", "--no-confirm-changeset"];
    deploy.extend(["--config-file", &config, "--template-file", &template]);
    deploy.extend(["--parameter-overrides", &parameters, "--tags", "CostCenter=42"]);
    sam(aws, &deploy);
    number_the_concurrency(aws);
    allow_plain_http(aws);
}

/// `MaximumConcurrency` is a parameter of the template. CloudFormation passes parameters as text
/// and AWS converts it to a number; the local AWS does not, and its poller then fails.
fn number_the_concurrency(aws: &LocalAws) {
    python(
        aws,
        "import boto3
client = boto3.client('lambda')
for mapping in client.list_event_source_mappings()['EventSourceMappings']:
    concurrency = int(mapping['ScalingConfig']['MaximumConcurrency'])
    client.update_event_source_mapping(
        UUID=mapping['UUID'], ScalingConfig={'MaximumConcurrency': concurrency})",
    );
}

/// Checks that the queues' policies reject calls without TLS, and dead letters from other senders
/// than the worker, then removes those statements: the local AWS has no TLS, and tests send
/// dead letters. The other statements stay. The header simulates TLS.
fn allow_plain_http(aws: &LocalAws) {
    python(
        aws,
        "import boto3, json
from botocore.exceptions import ClientError
plain, secure = boto3.client('sqs'), boto3.client('sqs')
tls = lambda params, **_: params['headers'].update({'x-forwarded-proto': 'https'})
secure.meta.events.register('before-call.sqs', tls)
for url in secure.list_queues().get('QueueUrls', []):
    get = dict(QueueUrl=url, AttributeNames=['Policy'])
    policy = json.loads(secure.get_queue_attributes(**get)['Attributes']['Policy'])
    out = ['TlsOnly', 'NamedSenders'] if 'DeadLetter' in url else ['TlsOnly']
    kept = [it for it in policy['Statement'] if it['Sid'] not in out]
    if len(kept) == len(policy['Statement']):
        continue
    if 'DeadLetter' in url:
        try:
            secure.send_message(QueueUrl=url, MessageBody='x')
            raise SystemExit('the dead-letter queue accepts a message from any sender')
        except ClientError as error:
            assert error.response['Error']['Code'] == 'AccessDenied', error
    try:
        plain.get_queue_attributes(**get)
        raise SystemExit('a queue accepts a call without TLS')
    except ClientError as error:
        assert error.response['Error']['Code'] == 'AccessDenied', error
    attributes = {'Policy': json.dumps({**policy, 'Statement': kept})}
    secure.set_queue_attributes(QueueUrl=url, Attributes=attributes)",
    );
}

/// Runs a Python script with AWS's SDK and returns its output.
fn python(aws: &LocalAws, script: &str) -> String {
    run(aws, "python", &["-c", script])
}

/// Runs `sam` and returns its output.
fn sam(aws: &LocalAws, arguments: &[&str]) -> String {
    run(aws, "sam", arguments)
}

fn run(aws: &LocalAws, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool("sam", program))
        .args(arguments)
        .current_dir(workspace())
        .envs(CREDENTIALS)
        .env("AWS_ENDPOINT_URL", aws.url())
        .env("SAM_CLI_TELEMETRY", "0")
        .output()
        .expect("the tool can be started");
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
