//! Lists approvals: those whose callbacks were lost are found in it.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::ports::Listed;
use greenlight_core::sweep::Pace;
use greenlight_core::{Failure, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::client::WeComClient;
use super::error::{AnswerPart, ApiError};
use super::settings::Receive;
use crate::nullable::null_is_default;
use crate::source::InstanceList;

/// The period of one query. WeCom allows 31 days; of a day so many are listed that a sweep gets to
/// its end.
const WINDOW: Duration = Duration::from_hours(24);

/// The largest page.
const PAGE_SIZE: usize = 100;

/// The most pages of one window that are read; a list without an end is an error.
const MAX_PAGES: usize = 100;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "null_is_default")]
    sp_no_list: Vec<String>,
    /// Absent or empty on the last page. A page of a self-built app can have fewer approvals than
    /// were asked for, or none, and others after it.
    #[serde(default, deserialize_with = "null_is_default")]
    new_next_cursor: String,
}

impl InstanceList for WeComClient {
    fn pace(&self) -> Pace {
        let pace = Pace::hourly(WINDOW);
        match self.settings.receive {
            Receive::Webhook => pace,
            Receive::Polling => pace.polling(self.settings.poll_every),
        }
    }

    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Listed, Failure>> {
        Box::pin(self.list_numbers(definition_id, window))
    }
}

impl WeComClient {
    /// `POST /cgi-bin/oa/getapprovalinfo`, 600 a minute.
    async fn list_numbers(
        &self,
        template_id: &str,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        let mut listed = Listed::default();
        // Whole seconds, both included.
        let [start, end] = [window.start, window.end].map(|it| it.as_seconds().to_string());
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let query = json!({
                "starttime": start,
                "endtime": end,
                "new_cursor": cursor,
                "size": PAGE_SIZE,
                "filters": [{ "key": "template_id", "value": template_id }],
            });
            let page: Page = self.post("/cgi-bin/oa/getapprovalinfo", &query).await?;
            listed.calls += 1;
            listed.ids.extend(page.sp_no_list);
            if page.new_next_cursor.is_empty() {
                return Ok(listed);
            }
            cursor = page.new_next_cursor;
        }
        Err(ApiError::Shape { part: AnswerPart::EndlessList }.into_failure())
    }
}
