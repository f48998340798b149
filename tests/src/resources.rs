//! Queues, table and secret of the functions, on a local AWS, without the template.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use serde_json::Value;

use crate::lambda::Function;
use crate::local_aws::{CREDENTIALS, LocalAws};
use crate::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_testkit::stub::secret_document;

/// The attributes that the template's index projects besides the keys.
const PROJECTED: [&str; 7] = ["v", "request", "state", "target", "subject", "breaker", "grant"];

/// Creates the ledger's table as the template does.
///
/// # Panics
/// When it cannot be made.
pub async fn create_table(aws: &LocalAws, name: &str) {
    let attribute = |name: &str, kind| {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
        attribute.build().expect("the attribute is valid")
    };
    let key = |name: &str, kind| {
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        key.build().expect("the key is valid")
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name("gsi1")
        .key_schema(key("gsi1pk", KeyType::Hash))
        .key_schema(key("gsi1sk", KeyType::Range))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::Include)
                .set_non_key_attributes(Some(PROJECTED.map(str::to_owned).to_vec()))
                .build(),
        );
    aws_sdk_dynamodb::Client::new(&aws.config())
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("gsi1pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("gsi1sk", ScalarAttributeType::N))
        .key_schema(key("pk", KeyType::Hash))
        .global_secondary_indexes(index.build().expect("the index is valid"))
        .send()
        .await
        .expect("the table can be made");
}

/// Creates a queue and returns its URL.
///
/// # Panics
/// When it cannot be made.
pub async fn create_queue(aws: &LocalAws, name: &str) -> String {
    let sqs = aws_sdk_sqs::Client::new(&aws.config());
    let made = sqs.create_queue().queue_name(name).send().await.expect("the queue can be made");
    made.queue_url.expect("a queue has a URL")
}

/// Queue, dead-letter queue, ledger and secret.
#[derive(Debug)]
pub struct Resources {
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    /// Requests that wait.
    pub queue_url: String,
    /// Requests that cannot succeed.
    pub dlq_url: String,
}

impl Resources {
    /// Creates all of them.
    ///
    /// # Panics
    /// When one of them cannot be created.
    pub async fn create(aws: &LocalAws, scene: &Scene) -> Self {
        create_table(aws, "ledger").await;
        let secrets = aws_sdk_secretsmanager::Client::new(&aws.config());
        let document = secret_document(&scene.app, NAC_TOKEN).to_string();
        let made = secrets.create_secret().name("greenlight").secret_string(document).send().await;
        made.expect("the secret can be made");
        Self {
            sqs: aws_sdk_sqs::Client::new(&aws.config()),
            secrets,
            queue_url: create_queue(aws, "queue").await,
            dlq_url: create_queue(aws, "dlq").await,
        }
    }

    /// A function that uses these resources, with AWS at `endpoint`.
    #[must_use]
    pub fn function(&self, program: &'static str, endpoint: &str, scene: &Scene) -> Function {
        let [key_id, key, _] = CREDENTIALS;
        Function::new(
            program,
            HashMap::from([
                ("AWS_REGION", "us-east-1".to_owned()),
                (key_id.0, key_id.1.to_owned()),
                (key.0, key.1.to_owned()),
                ("AWS_ENDPOINT_URL", endpoint.to_owned()),
                ("QUEUE_URL", self.queue_url.clone()),
                ("DLQ_URL", self.dlq_url.clone()),
                ("LEDGER_TABLE", "ledger".to_owned()),
                ("SECRET_ARN", "greenlight".to_owned()),
                ("FLOWS", scene.flows()),
                ("APPROVAL_CODE", APPROVAL_CODE.to_owned()),
                ("NAC_URL", scene.nac.url()),
            ]),
        )
    }

    /// Replaces the secret document.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn rotate_secret(&self, document: &Value) {
        let put = self.secrets.put_secret_value().secret_id("greenlight");
        put.secret_string(document.to_string()).send().await.expect("the secret can be put");
    }

    /// Sends a message to the queue.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn put_message(&self, body: &str) {
        let send = self.sqs.send_message().queue_url(&self.queue_url).message_body(body);
        send.send().await.expect("the queue accepts a message");
    }

    /// Receives up to ten messages with a visibility timeout of `hidden` seconds.
    ///
    /// # Panics
    /// When the queue cannot be read.
    pub async fn receive(&self, hidden: i32) -> Vec<Message> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .visibility_timeout(hidden)
            .send()
            .await
            .expect("the queue can be read");
        received.messages.unwrap_or_default()
    }

    /// The number of messages in the queue, including hidden ones.
    ///
    /// # Panics
    /// When the attributes of the queue cannot be read.
    pub async fn waiting(&self) -> usize {
        let asked = self
            .sqs
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .expect("the attributes of the queue can be read");
        let counts = asked.attributes.unwrap_or_default();
        counts.values().filter_map(|count| count.parse::<usize>().ok()).sum()
    }

    /// Receives and deletes all dead letters; returns class and body of each.
    ///
    /// # Panics
    /// When the dead-letter queue cannot be read.
    pub async fn dead_letters(&self) -> Vec<(String, String)> {
        let mut letters = Vec::new();
        loop {
            let receive = self.sqs.receive_message().queue_url(&self.dlq_url);
            let receive = receive.max_number_of_messages(10).message_attribute_names("All");
            let received = receive.send().await.expect("the dead-letter queue can be read");
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return letters;
            }
            for message in messages {
                let handle = message.receipt_handle.clone().unwrap_or_default();
                let delete = self.sqs.delete_message().queue_url(&self.dlq_url);
                let deleted = delete.receipt_handle(handle).send().await;
                deleted.expect("a dead letter can be deleted");
                let attributes = message.message_attributes.unwrap_or_default();
                let class = attributes.get("class").and_then(|value| value.string_value.clone());
                letters.push((class.unwrap_or_default(), message.body.unwrap_or_default()));
            }
        }
    }
}
