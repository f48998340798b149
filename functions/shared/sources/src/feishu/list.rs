//! Lists approval instances: those whose events were lost are found in it.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::ports::Listed;
use greenlight_core::sweep::Pace;
use greenlight_core::{Failure, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::client::FeishuClient;
use super::error::{AnswerPart, ApiError};
use crate::source::InstanceList;

/// The longest window of one query, by the documentation of "list approval instance IDs".
const MAX_WINDOW: Duration = Duration::from_hours(10);

/// The largest page.
const PAGE_SIZE: usize = 100;

/// The most pages of one window that are read; a list without an end is an error.
const MAX_PAGES: usize = 100;

#[derive(Deserialize)]
struct ListAnswer {
    data: InstancePage,
}

#[derive(Deserialize)]
struct InstancePage {
    /// Null for an empty page.
    #[serde(default)]
    instance_code_list: Option<Vec<String>>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    page_token: String,
}

impl InstanceList for FeishuClient {
    fn pace(&self) -> Pace {
        Pace::hourly(MAX_WINDOW)
    }

    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Listed, Failure>> {
        Box::pin(self.list_codes(definition_id, window))
    }
}

impl FeishuClient {
    /// `GET /open-apis/approval/v4/instances`, 100 a minute; needs the scope `approval:approval` or
    /// `approval:instance`.
    async fn list_codes(
        &self,
        approval_code: &str,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        let mut listed = Listed::default();
        let (start, end) = (window.start.as_millis(), window.end.as_millis());
        let mut path = format!(
            "/open-apis/approval/v4/instances?approval_code={}&start_time={start}&end_time={end}\
             &page_size={PAGE_SIZE}",
            utf8_percent_encode(approval_code, NON_ALPHANUMERIC),
        );
        let first_page = path.len();
        for _ in 0..MAX_PAGES {
            let ListAnswer { data } = self.get(&path).await?;
            listed.calls += 1;
            listed.ids.extend(data.instance_code_list.unwrap_or_default());
            if !data.has_more {
                return Ok(listed);
            }
            path.truncate(first_page);
            path += "&page_token=";
            path.extend(utf8_percent_encode(&data.page_token, NON_ALPHANUMERIC));
        }
        Err(ApiError::Shape { part: AnswerPart::EndlessList }.into_failure())
    }
}
