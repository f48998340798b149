//! `greenlight doctor`: checks the set-up that approvals need, a line per check.

mod arrivals;
mod checks;
mod sweeps;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use greenlight_connectors::connector::Reached;
use greenlight_core::Timestamp;
use greenlight_core::explain::Explain;
use greenlight_core::flow::{Flow, Flows, Place as FormPlace};
use greenlight_core::ports::{Clock, Http};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_core::stream::Stream;
use greenlight_http::Client;
use greenlight_sources::source::{Admin, Definition, Widget};
use greenlight_stores::private::check_private;
use greenlight_stores::sqlite::OpenError;
use greenlight_stores::{SecretFile, SystemClock};

use self::arrivals::{Arrivals, Arrived};
use crate::backend::{Address, Backend, BackendError};
use crate::flows::{self, Checked, Files, read_with};
use crate::secrets::Secrets;
use crate::sources::clients;
use greenlight_render::format::moment;

pub use self::checks::{Advice, Check, CheckName, Checks, ChecksFailed, Finding};

/// The difference of clocks that is reported: less than the replay windows of sources.
const CLOCK_DIFFERS: Duration = Duration::from_mins(1);

/// The options of `greenlight doctor`.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// Where greenlight runs.
    pub address: Address,
    /// Flows and connectors.
    pub files: Files,
    /// The secret document of a data folder.
    pub secrets: PathBuf,
}

/// Runs all checks. They change nothing.
pub async fn run_checks(options: &DoctorOptions) -> Checks {
    let mut checks = Checks::default();
    let backend = Backend::open(&options.address).await;
    let backend = match &options.address {
        // Before the first `serve` there is no folder, which is no error.
        Address::Folder(folder)
            if matches!(backend, Err(BackendError::Open(OpenError::Absent(_)))) =>
        {
            match check_private(folder) {
                Ok(Err(error)) => checks.bad(CheckName::DataFolder, failed(&error)),
                _ => checks.ok(CheckName::DataFolder, Finding::NoFolderYet),
            }
            None
        }
        Address::Folder(folder) => {
            if let Ok(Err(error)) = check_private(folder) {
                checks.bad(CheckName::DataFolder, failed(&error));
            }
            checks.take(CheckName::DataFolder, backend, None)
        }
        // Without the stack there is nothing else to check.
        Address::Stack(_) => match checks.take(CheckName::Stack, backend, Some(Advice::Stack)) {
            None => return checks,
            backend => backend,
        },
    };
    if let Some(backend) = &backend {
        queues(backend, &mut checks).await;
    }
    let known = |name: &str| Backend::variable_of(backend.as_ref(), name);
    let files = match &backend {
        Some(backend) => deployed(backend, &options.files, &mut checks).await,
        None => options.files.clone(),
    };
    let flows = checks.take(CheckName::Flows, read_with(&files, &known), None);
    if let Some(flows) = &flows {
        variables(flows, &mut checks);
    }
    if let (Some(flows), Some(backend)) = (&flows, &backend) {
        names(&flows.flows, backend, &mut checks).await;
    }
    let secrets = match &backend {
        Some(backend) => backend.secrets(options.secrets.clone()),
        None => Secrets::File(SecretFile::new(&options.secrets)),
    };
    let secret = secrets.read().await;
    let advice = secret.as_ref().err().and_then(advice_for);
    let Some(secret) = checks.take(CheckName::Secret, secret, advice) else { return checks };
    let Some(flows) = flows else { return checks };
    let complete = flows.sources.check_credentials(&secret);
    if checks.take(CheckName::Secret, complete.map_err(|error| error.explain()), None).is_some() {
        checks.ok(CheckName::Secret, Finding::SecretComplete);
    }
    sources(&flows, &secret, backend.as_ref(), &mut checks).await;
    targets(flows, secret, &mut checks).await;
    checks
}

/// The advice for a secret that cannot be used, if its error contains none.
const fn advice_for(error: &SecretError) -> Option<Advice> {
    match error {
        SecretError::Malformed { .. } | SecretError::WrongType { .. } => {
            Some(Advice::SecretMalformed)
        }
        SecretError::Missing(_)
        | SecretError::Unusable { .. }
        | SecretError::Shared { .. }
        | SecretError::Absent(_)
        | SecretError::Unavailable(_)
        | SecretError::NotPrivate(_) => None,
    }
}

fn failed(error: &impl Explain) -> Finding {
    Finding::Failed { cause: error.explain() }
}

async fn queues(backend: &Backend, checks: &mut Checks) {
    let status = backend.stores.status(SystemClock.now()).await;
    if let Some(status) = checks.take(CheckName::Stores, status, Some(Advice::Stores)) {
        checks.ok(CheckName::Stores, Finding::StoresAnswer { dead: status.queue.dead_letters });
    }
}

/// The flows to check: the given ones, else the deployed ones.
async fn deployed(backend: &Backend, files: &Files, checks: &mut Checks) -> Files {
    let of_backend = flows::of_backend(backend, files.clone()).await;
    let Some(of_backend) = checks.take(CheckName::DeployedFlows, of_backend, None) else {
        return files.clone();
    };
    let name = CheckName::DeployedFlows;
    match (of_backend.difference, of_backend.since) {
        (Some(difference), _) => checks.bad(name, Finding::Differs(difference)),
        (None, Some(since)) => checks.ok(name, Finding::AsDeployed { since: moment(since) }),
        (None, None) => checks.ok(name, Finding::NotStarted),
    }
    of_backend.files
}

fn variables(flows: &Checked, checks: &mut Checks) {
    let unset: Vec<_> = flows.unset.iter().map(String::as_str).collect();
    if unset.is_empty() {
        checks.ok(CheckName::Flows, Finding::FlowsRight { count: flows.flows.flows.len() });
    } else {
        checks.bad(CheckName::Flows, Finding::Unset { names: unset.join(", ") });
    }
}

/// Looks for the sources and targets of the access that is held.
async fn names(flows: &Flows, backend: &Backend, checks: &mut Checks) {
    let names = backend.stores.grants.names_in_use().await.map_err(|error| error.explain());
    let Some(names) = checks.take(CheckName::Names, names, Some(Advice::Stores)) else { return };
    let missing = names.missing_in(flows);
    if missing.is_empty() {
        checks.ok(CheckName::Names, Finding::NamesThere);
    }
    for name in missing {
        checks.bad(CheckName::Names, Finding::Failed { cause: name.explain() });
    }
}

/// Compares our clock with that of `source`, by the `Date` header of any answer.
async fn clock(source: &str, url: &str, checks: &mut Checks) {
    let request = http::Request::get(url).body(Bytes::new());
    let (Ok(client), Ok(request)) = (Client::new(None), request) else { return };
    // The check of the login reports if it cannot be reached.
    let Ok(answer) = client.send(request).await else { return };
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let theirs = theirs.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(theirs) = theirs.and_then(|since| i64::try_from(since.as_millis()).ok()) else {
        return;
    };
    let (ours, theirs) = (SystemClock.now(), Timestamp::from_millis(theirs));
    let differ = ours.since(theirs).max(theirs.since(ours));
    let (source_name, seconds) = (source.to_owned(), differ.as_secs());
    if differ > CLOCK_DIFFERS {
        checks.bad(CheckName::Clock, Finding::ClockDiffers { source_name, seconds });
    } else {
        checks.ok(CheckName::Clock, Finding::ClockAgrees { source_name });
    }
}

async fn sources(flows: &Checked, secret: &Secret, backend: Option<&Backend>, checks: &mut Checks) {
    for (source, warning) in flows.sources.warnings() {
        let name = CheckName::Source { name: source.to_owned() };
        checks.ok(name, Finding::Weak { warning: warning.explain() });
    }
    let clients = clients(&flows.sources, secret.clone());
    let Some(clients) = checks.take(CheckName::Sources, clients, None) else { return };
    for (name, _) in flows.sources.iter() {
        let check = CheckName::Source { name: name.to_owned() };
        let Ok(source) = clients.0.find(name) else { continue };
        if let Some(stream) = source.stream() {
            connection(name, stream, backend, checks).await;
        }
        if let (Some(backend), Some(list)) = (backend, source.list()) {
            let ledger = &*backend.stores.audit;
            sweeps::sweeps(name, &list.pace(), ledger, &flows.flows, checks).await;
        }
        let Some(admin) = source.admin() else {
            checks.ok(check, Finding::NoApi);
            continue;
        };
        let arrivals = backend.zip(source.list()).map(|(backend, list)| {
            let ledger = &*backend.stores.audit;
            Arrivals { name, source, list, ledger }
        });
        at_source(name, admin, arrivals, &flows.flows, checks).await;
    }
}

/// Checks the way by which the events of a source come, if it is a connection.
async fn connection(
    source: &str,
    stream: &dyn Stream,
    backend: Option<&Backend>,
    checks: &mut Checks,
) {
    let check = || CheckName::Source { name: source.to_owned() };
    if let Some(backend) = backend {
        let status = backend.stores.status(SystemClock.now()).await;
        match status.map(|status| status.queue.is_served) {
            Ok(None) => return checks.bad(check(), Finding::NeedsServe),
            Ok(Some(false)) => checks.bad(check(), Finding::NotHeld),
            // That it cannot be read is another check.
            Ok(Some(true)) | Err(_) => {}
        }
    }
    let offered = stream.endpoint().await.map_err(|failure| failure.reason().cause.clone());
    if checks.take(check(), offered, None).is_some() {
        checks.ok(check(), Finding::ConnectionOffered);
    }
}

async fn at_source(
    source: &str,
    admin: &dyn Admin,
    arrivals: Option<Arrivals<'_>>,
    flows: &Flows,
    checks: &mut Checks,
) {
    clock(source, admin.url(), checks).await;
    let check = || CheckName::Source { name: source.to_owned() };
    let login = admin.check_login().await.map_err(|failure| failure.reason().cause.clone());
    if checks.take(check(), login, Some(Advice::Login)).is_none() {
        return;
    }
    checks.ok(check(), Finding::LoggedIn);
    let flows: Vec<_> = flows.flows.iter().filter(|flow| flow.source == source).collect();
    let codes: BTreeSet<_> = flows.iter().map(|flow| flow.definition_id.as_str()).collect();
    for code in codes {
        let name = || CheckName::Approval { code: code.to_owned() };
        let of_it: Vec<_> =
            flows.iter().copied().filter(|flow| flow.definition_id == code).collect();
        if let Some(definitions) = admin.definitions() {
            let definition = definitions.definition(code).await;
            let definition = definition.map_err(|failure| failure.reason().cause.clone());
            let definition = checks.take(name(), definition, Some(Advice::Definition));
            let Some(definition) = definition else { continue };
            widgets(&definition, &of_it, &name, checks);
        }
        let Some(arrivals) = arrivals else { continue };
        for flow in of_it {
            let arrived = arrivals.look(flow).await;
            let Some(arrived) = checks.take(name(), arrived, Some(Advice::List)) else { continue };
            let Arrived { listed, looked_up, missed } = arrived;
            match missed.first().cloned() {
                None => checks.ok(name(), Finding::NoneMissed { listed, looked_up }),
                Some(first) => {
                    let (count, code) = (missed.len(), code.to_owned());
                    checks.bad(name(), Finding::Missed { count, first, code });
                }
            }
        }
    }
}

/// Compares the form of an approval definition with its flows.
fn widgets(
    definition: &Definition,
    flows: &[&Flow],
    name: &dyn Fn() -> CheckName,
    checks: &mut Checks,
) {
    let of_form = definition.name.clone();
    if !definition.is_active {
        checks.bad(name(), Finding::NotActive { name: of_form.clone() });
    }
    let missing = flows.iter().flat_map(|flow| missing(flow, definition));
    let missing: BTreeSet<_> = missing.collect();
    if missing.is_empty() {
        checks.ok(name(), Finding::WidgetsThere { name: of_form });
    } else {
        let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
        checks.bad(name(), Finding::WidgetsMissing { name: of_form, missing });
    }
}

/// The required fields of a flow that the form does not contain.
fn missing(flow: &Flow, definition: &Definition) -> Vec<String> {
    let is_there = |place: &FormPlace| {
        let has = |widget: &&Widget, name: &String| widget.names.contains(name);
        let widget = definition.widgets.iter().find(|widget| has(widget, &place.field));
        widget.is_some_and(|widget| {
            let column = place.column.as_ref();
            column.is_none_or(|column| widget.columns.iter().any(|it| has(&it, column)))
        })
    };
    let fields = flow.fields.iter().filter(|(_, rule)| !rule.optional && rule.default.is_none());
    let fields = fields.filter(|(_, rule)| !rule.from.iter().any(is_there));
    let shown = |place: &FormPlace| match &place.column {
        None => format!("`{}`", place.field),
        Some(column) => format!("`{}.{column}`", place.field),
    };
    fields.map(|(_, rule)| rule.from.iter().map(shown).collect::<Vec<_>>().join(" / ")).collect()
}

async fn targets(flows: Checked, secret: Secret, checks: &mut Checks) {
    let names: Vec<_> = flows.flows.targets.keys().cloned().collect();
    let targets = greenlight_runtime::targets(flows.setup, &FixedSecret(Arc::new(secret)));
    let targets = checks.take(CheckName::Targets, targets, Some(Advice::TargetSecret));
    let Some(targets) = targets else { return };
    for name in names {
        let reached = targets.reach(&name).await;
        let reached = reached.map_err(|failure| failure.reason().cause.clone());
        let name = || CheckName::Target { name: name.clone() };
        match checks.take(name(), reached, Some(Advice::FromHere)) {
            Some(Reached::LoggedIn) => checks.ok(name(), Finding::TargetLoggedIn),
            Some(Reached::Answers) => checks.ok(name(), Finding::TargetAnswers),
            None => {}
        }
    }
}
