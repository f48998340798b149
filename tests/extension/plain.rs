//! An office system that posts plain text.

use std::time::Duration;

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::secret::Secret;
use greenlight_core::webhook::Webhook;
use greenlight_core::{Decision, Rejection, Timestamp, WebhookRequest};
use serde::Deserialize;

use crate::kind::SourceKind;

/// Its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plain {}

#[derive(Debug)]
struct PlainWebhook(String);

impl SourceKind for Plain {
    fn credentials(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn webhook(&self, source: &str) -> Box<dyn Webhook> {
        Box::new(PlainWebhook(source.to_owned()))
    }
}

#[cfg(feature = "client")]
mod client {
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use greenlight_core::explain::Explanation;
    use greenlight_core::form::Attachment;
    use greenlight_core::instance::Instance;
    use greenlight_core::secret::Credentials;
    use greenlight_core::{Class, Failure, Request, Timestamp};

    use crate::client_kind::ClientKind;
    use crate::source::{Source, SourcePorts};
    use crate::test_request::{NotSendable, Sent, TestEvent};

    /// It can only send.
    struct NotReadable;

    fn not_readable() -> Failure {
        Failure::give_up(Class::SourceRejected, Explanation::quoted("this source only sends"))
    }

    impl Source for NotReadable {
        fn read_instance<'a>(
            &'a self,
            _: &'a Request,
        ) -> BoxFuture<'a, Result<Instance, Failure>> {
            Box::pin(async { Err(not_readable()) })
        }

        fn download<'a>(&'a self, _: &'a Attachment) -> BoxFuture<'a, Result<Bytes, Failure>> {
            Box::pin(async { Err(not_readable()) })
        }
    }

    impl ClientKind for super::Plain {
        fn client(&self, _: &str, _: SourcePorts) -> Box<dyn Source> {
            Box::new(NotReadable)
        }

        fn parse_instance(&self, _: &str) -> Result<Instance, Failure> {
            Err(not_readable())
        }

        fn test_request(
            &self,
            _: &TestEvent,
            _: &Credentials,
            _: Timestamp,
        ) -> Result<Sent, NotSendable> {
            Err(NotSendable::NoUrlCheck)
        }
    }
}

impl Webhook for PlainWebhook {
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        _: Timestamp,
    ) -> Result<Inbound, Rejection> {
        let token = secret.source(&self.0).and_then(|it| it.get("token"));
        if token.is_none_or(|token| request.query != format!("token={token}")) {
            return Err(Rejection::WrongToken);
        }
        let text = std::str::from_utf8(&request.body).map_err(|_| Rejection::NotAnEvent)?;
        let (instance, definition) = text.split_once(' ').ok_or(Rejection::NotAnEvent)?;
        Ok(Inbound::Approval(ApprovalEvent {
            tenant: String::new(),
            event_id: String::new(),
            definition_id: definition.to_owned(),
            instance_id: instance.to_owned(),
            decision: Some(Decision::Approved),
            occurred_at: None,
            signed: None,
        }))
    }

    fn answer_within(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use greenlight_core::event::Inbound;
    use greenlight_core::flow::SourceConfigs;
    use greenlight_core::secret::Secret;
    use greenlight_core::{Rejection, Timestamp, WebhookRequest};

    use crate::registry::Registry;

    #[test]
    fn the_registry_has_the_new_kind() {
        let text = "sources.erp.kind = \"plain\"";
        let registry = Registry::new(&SourceConfigs::parse(text, &|_| None).unwrap()).unwrap();
        let needed: Vec<_> = registry.credentials().collect();
        assert_eq!(needed, [("erp", "token")]);
        let secret = Secret::parse("{\"sources\": {\"erp\": {\"token\": \"t\"}}}").unwrap();
        let webhooks = registry.webhooks();
        let parse = |url: &str| {
            let (head, ()) = http::Request::post(url).body(()).unwrap().into_parts();
            let request = WebhookRequest::new(head, "I-1 A".into()).unwrap();
            let (_, webhook) = webhooks.find(request.source.as_deref()).unwrap();
            webhook.parse(&request, &secret, Timestamp::default())
        };
        assert!(matches!(parse("/api/event/erp?token=t"), Ok(Inbound::Approval(_))));
        assert_eq!(parse("/api/event?token=x"), Err(Rejection::WrongToken));
    }
}
