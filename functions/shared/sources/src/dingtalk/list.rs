//! Lists instances: those whose events were lost are found in it.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::{Failure, Timestamp};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::DingTalkClient;
use super::error::{AnswerPart, ApiError};
use crate::source::ListInstances;

/// The longest window of one query.
const MAX_WINDOW: Duration = Duration::from_hours(120 * 24);

/// The largest page.
const PAGE_SIZE: usize = 20;

/// The most pages of one window that are read: DingTalk lists at most 10,000 instances.
const MAX_PAGES: usize = 500;

#[derive(Deserialize)]
struct ListAnswer {
    result: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    list: Vec<String>,
    /// Absent on the last page.
    #[serde(default)]
    next_token: Option<Value>,
}

impl ListInstances for DingTalkClient {
    fn longest_window(&self) -> Duration {
        MAX_WINDOW
    }

    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(self.list_ids(definition_id, window))
    }
}

impl DingTalkClient {
    /// `POST /v1.0/workflow/processes/instanceIds/query`; each page counts against the quota of the
    /// month.
    async fn list_ids(
        &self,
        process_code: &str,
        window: Range<Timestamp>,
    ) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let path = "/v1.0/workflow/processes/instanceIds/query";
        let mut next_token = json!(0);
        for _ in 0..MAX_PAGES {
            let query = json!({
                "processCode": process_code,
                "startTime": window.start.as_millis(),
                "endTime": window.end.as_millis(),
                "nextToken": next_token,
                "maxResults": PAGE_SIZE,
            });
            let ListAnswer { result } = self.ask(Method::POST, path, &query).await?;
            found.extend(result.list);
            // A text as it comes; the first one is a number.
            match result.next_token {
                None | Some(Value::Null) => return Ok(found),
                Some(Value::String(token)) if token.is_empty() => return Ok(found),
                Some(token) => next_token = token,
            }
        }
        Err(ApiError::Shape { part: AnswerPart::EndlessList }.into_failure())
    }
}
