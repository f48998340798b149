//! The half of a source that calls the office system.

#![warn(missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenlight_core::explain::Explain;
use greenlight_core::form::Attachment;
use greenlight_core::instance::Instance;
use greenlight_core::person::{PersonKey, Presence};
use greenlight_core::ports::{
    Call, Clock, Http, HttpError, ListInstances, Listed, ReadInstance, ReadPerson, ReadSecret,
    ReadTarget,
};
use greenlight_core::secret::Secret;
#[cfg(feature = "stream")]
use greenlight_core::stream::Stream;
use greenlight_core::sweep::{Pace, SweepKey};
use greenlight_core::{Class, Failure, Request, Timestamp};
use serde_json::Value;
use thiserror::Error;

use crate::windows::windows;

/// A source, as the worker and the operator's commands use it.
pub trait Source: Send + Sync {
    /// The current instance that `request` names, with its form.
    fn read_instance<'a>(
        &'a self,
        request: &'a Request,
    ) -> BoxFuture<'a, Result<Instance, Failure>>;

    /// The content of a file that is attached to a form.
    fn download<'a>(&'a self, _file: &'a Attachment) -> BoxFuture<'a, Result<Bytes, Failure>> {
        Box::pin(async { Err(Failure::give_up(Class::SourceRejected, FilesNotRead)) })
    }

    /// Whether a person is a member of the organisation.
    fn presence<'a>(&'a self, _person: &'a str) -> BoxFuture<'a, Result<Presence, Failure>> {
        Box::pin(async { Ok(Presence::Unknown) })
    }

    /// The list of its approval instances, if it has an API for it.
    fn list(&self) -> Option<&dyn InstanceList> {
        None
    }

    /// The connection over which its events come, if they do not come by webhook.
    #[cfg(feature = "stream")]
    fn stream(&self) -> Option<&dyn Stream> {
        None
    }

    /// Set-up and checks at the office system, if it has an API for them.
    fn admin(&self) -> Option<&dyn Admin> {
        None
    }
}

/// A file that is attached to a form, at a source whose files are not read.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("files_not_read")]
#[error("files that are attached to approvals of this office system are not read")]
pub(crate) struct FilesNotRead;

/// A list of a source that has none.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("no_list")]
#[error("this office system has no list of approvals")]
struct NoList;

/// Lists approval instances: those whose events were lost are found by it.
pub trait InstanceList: Send + Sync {
    /// When the list is read, and how far back.
    fn pace(&self) -> Pace;

    /// The instances of a definition that were created in `window`, no longer than
    /// [`Pace::window`]. The order is the system's own.
    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Listed, Failure>>;

    /// The ids for any `period`. An instance at the edge of two windows is there once.
    fn created_within<'a>(
        &'a self,
        definition_id: &'a str,
        period: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let mut found = Vec::new();
            let mut known = HashSet::new();
            for window in windows(period, self.pace().window) {
                let listed = self.list_window(definition_id, window).await?;
                found.extend(listed.ids.into_iter().filter(|id| known.insert(id.clone())));
            }
            Ok(found)
        })
    }
}

/// Set-up and checks at an office system, for the operator's commands.
pub trait Admin: Send + Sync {
    /// An address of it: its clock is in the header `Date` of any answer.
    fn url(&self) -> &str;

    /// Logs in without any other call.
    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>>;

    /// Its API of approval definitions, if it has one.
    fn definitions(&self) -> Option<&dyn Definitions> {
        None
    }
}

/// The API of approval definitions.
pub trait Definitions: Send + Sync {
    /// Subscribes to the events of an approval definition; `false` if that was done before.
    fn subscribe<'a>(&'a self, definition_id: &'a str) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Reads an approval definition.
    fn definition<'a>(
        &'a self,
        definition_id: &'a str,
    ) -> BoxFuture<'a, Result<Definition, Failure>>;
}

/// An approval definition, reduced to what flows need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The display name.
    pub name: String,
    /// Whether the definition is active.
    pub is_active: bool,
    /// The fields of its form.
    pub widgets: Vec<Widget>,
}

/// A field of a form, or a column of a table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widget {
    /// Every name by which flows can refer to it.
    pub names: Vec<String>,
    /// The columns, if the field is a table.
    pub columns: Vec<Widget>,
}

/// All sources of a host, by name.
#[derive(Clone)]
pub struct Sources(pub(crate) Arc<BTreeMap<String, Box<dyn Source>>>);

/// A source that is not configured.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("unknown_source")]
#[error("the source `{name}` is not configured")]
pub struct UnknownSource {
    name: String,
}

impl Sources {
    /// The source of this name.
    ///
    /// # Errors
    /// [`Class::NotConfigured`] when there is none.
    pub fn find(&self, name: &str) -> Result<&dyn Source, Failure> {
        let source = self.0.get(name).map(|source| &**source);
        let unknown = || UnknownSource { name: name.to_owned() };
        source.ok_or_else(|| Failure::give_up(Class::NotConfigured, unknown()))
    }
}

#[cfg(feature = "stream")]
impl Sources {
    /// The sources whose events come over a connection, by name.
    pub fn streams(&self) -> impl Iterator<Item = (&str, &dyn Stream)> {
        self.0.iter().filter_map(|(name, source)| Some((name.as_str(), source.stream()?)))
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ReadInstance for Sources {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        self.find(&request.source)?.read_instance(request).await
    }
}

impl ListInstances for Sources {
    fn pace(&self, source: &str) -> Option<Pace> {
        self.find(source).ok()?.list().map(InstanceList::pace)
    }

    async fn list_created(
        &self,
        key: &SweepKey,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        match self.find(&key.source)?.list() {
            Some(list) => list.list_window(&key.definition_id, window).await,
            None => Err(Failure::give_up(Class::NotConfigured, NoList)),
        }
    }
}

impl ReadPerson for Sources {
    async fn presence(&self, person: &PersonKey) -> Result<Presence, Failure> {
        self.find(&person.source)?.presence(&person.person).await
    }
}

/// The ports of a source. Kinds are chosen at run time, so the ports are, too.
#[derive(Clone)]
pub struct SourcePorts {
    pub(crate) http: Arc<dyn DynHttp>,
    pub(crate) secret: Arc<dyn DynSecret>,
    pub(crate) clock: Arc<dyn DynClock>,
    pub(crate) targets: Arc<dyn DynTargets>,
}

impl SourcePorts {
    /// The ports of all sources of a host.
    pub fn new(
        http: impl Http + 'static,
        secret: impl ReadSecret + 'static,
        clock: impl Clock + 'static,
        targets: impl ReadTarget + 'static,
    ) -> Self {
        Self {
            http: Arc::new(http),
            secret: Arc::new(secret),
            clock: Arc::new(clock),
            targets: Arc::new(targets),
        }
    }
}

/// [`Http`] as an object.
pub(crate) trait DynHttp: Send + Sync {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpError>>;
}

impl<T: Http> DynHttp for T {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpError>> {
        Box::pin(Http::send(self, request))
    }
}

/// [`ReadSecret`] as an object.
pub(crate) trait DynSecret: Send + Sync {
    fn current(&self) -> Arc<Secret>;
    fn fresh(&self) -> BoxFuture<'_, Arc<Secret>>;
    fn renewed<'a>(&'a self, used: &'a Arc<Secret>) -> BoxFuture<'a, Option<Arc<Secret>>>;
}

impl<T: ReadSecret> DynSecret for T {
    fn current(&self) -> Arc<Secret> {
        ReadSecret::current(self)
    }

    fn fresh(&self) -> BoxFuture<'_, Arc<Secret>> {
        Box::pin(ReadSecret::fresh(self))
    }

    fn renewed<'a>(&'a self, used: &'a Arc<Secret>) -> BoxFuture<'a, Option<Arc<Secret>>> {
        Box::pin(ReadSecret::renewed(self, used))
    }
}

/// The time of [`Clock`] as an object.
pub(crate) trait DynClock: Send + Sync {
    fn now(&self) -> Timestamp;
}

impl<T: Clock> DynClock for T {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// [`ReadTarget`] as an object.
pub(crate) trait DynTargets: Send + Sync {
    fn read<'a>(&'a self, call: &'a Call<'a>) -> BoxFuture<'a, Result<Value, Failure>>;
}

impl<T: ReadTarget> DynTargets for T {
    fn read<'a>(&'a self, call: &'a Call<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(ReadTarget::read(self, call))
    }
}
