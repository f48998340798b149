//! Lists instances: those whose events were lost are found in it.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::ports::Listed;
use greenlight_core::sweep::Pace;
use greenlight_core::{Failure, Timestamp};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::DingTalkClient;
use super::error::{AnswerPart, ApiError};
use crate::nullable::null_is_default;
use crate::source::InstanceList;

/// The longest window of one query.
const MAX_WINDOW: Duration = Duration::from_hours(120 * 24);

/// The calls for reading an instance: its detail, and a page of the list that has it.
const CALLS_PER_READ: u32 = 2;

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
    #[serde(default, deserialize_with = "null_is_default")]
    list: Vec<String>,
    /// Absent on the last page.
    #[serde(default)]
    next_token: Option<Value>,
}

impl InstanceList for DingTalkClient {
    fn pace(&self) -> Pace {
        Pace {
            monthly_calls: Some(self.settings.monthly_calls),
            calls_per_read: CALLS_PER_READ,
            ..Pace::hourly(MAX_WINDOW)
        }
    }

    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Listed, Failure>> {
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
    ) -> Result<Listed, Failure> {
        let mut listed = Listed::default();
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
            listed.calls += 1;
            listed.ids.extend(result.list);
            // A text as it comes; the first one is a number.
            match result.next_token {
                None | Some(Value::Null) => return Ok(listed),
                Some(Value::String(token)) if token.is_empty() => return Ok(listed),
                Some(token) => next_token = token,
            }
        }
        Err(ApiError::Shape { part: AnswerPart::EndlessList }.into_failure())
    }
}
