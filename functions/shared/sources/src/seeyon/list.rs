//! The list of ended flows: approvals are found in it.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::ports::Listed;
use greenlight_core::sweep::Pace;
use greenlight_core::{Class, Failure, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::SeeyonClient;
use super::error::AnswerPart;
use super::settings::{Receive, TimeFormat};
use crate::long_id::LongId;
use crate::source::InstanceList;
use crate::windows::windows;

/// The period of one query for a single flow.
const MONTH: Duration = Duration::from_hours(31 * 24);

/// The period of one query: of a day so many are listed that a sweep gets to its end.
const WINDOW: Duration = DAY;

/// It is not documented whether the period is that of the beginning or of the end of a flow: a flow
/// that took up to two months is found in either case.
pub(super) const FAR_REACH: Duration = Duration::from_hours(62 * 24);

const DAY: Duration = Duration::from_hours(24);

impl InstanceList for SeeyonClient {
    fn pace(&self) -> Pace {
        let pace = Pace { reach: DAY, far_reach: FAR_REACH, ..Pace::hourly(WINDOW) };
        match self.settings.receive {
            Receive::Polling => pace.polling(self.settings.poll_every),
            Receive::Webhook => pace,
        }
    }

    fn list_window<'a>(
        &'a self,
        definition_id: &'a str,
        window: Range<Timestamp>,
    ) -> BoxFuture<'a, Result<Listed, Failure>> {
        Box::pin(self.list_ended(definition_id, window))
    }
}

impl SeeyonClient {
    /// `GET /seeyon/rest/flow/FromFinish/{templateCode}/{startTime}/{endTime}`. Where the list with
    /// times is empty or refused, it is asked for by dates, which the server may want instead.
    async fn list_ended(
        &self,
        template: &str,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        let mut calls = 0;
        if self.settings.time_format == TimeFormat::DateTime {
            calls += 1;
            let listed = self.list_by(template, &window, " ").await;
            match listed {
                Ok(ids) if !ids.is_empty() => return Ok(Listed { ids, calls }),
                // Nothing is wrong with the times.
                Err(failure) if failure.reason().class == Class::SourceUnavailable => {
                    return Err(failure);
                }
                Ok(_) | Err(_) => {}
            }
        }
        // The last day as a whole.
        let days = window.start..window.end.plus(DAY);
        let ids = self.list_by(template, &days, "").await?;
        Ok(Listed { ids, calls: calls + 1 })
    }

    /// With times if there is a `separator` of date and time, else with dates.
    async fn list_by(
        &self,
        template: &str,
        period: &Range<Timestamp>,
        separator: &str,
    ) -> Result<Vec<String>, Failure> {
        let written = |at| {
            let moment = self.settings.utc_offset.format(at).unwrap_or_default();
            let (date, time) = moment.split_once('T').unwrap_or_default();
            match separator {
                "" => date.to_owned(),
                separator => format!("{date}{separator}{}", time.get(..8).unwrap_or_default()),
            }
        };
        let parts = [template.to_owned(), written(period.start), written(period.end)];
        let parts = parts.map(|part| utf8_percent_encode(&part, NON_ALPHANUMERIC).to_string());
        let path = format!("/seeyon/rest/flow/FromFinish/{}", parts.join("/"));
        let ids: Option<Vec<LongId>> =
            self.get(&path, AnswerPart::List, |body| serde_json::from_str(body).ok()).await?;
        Ok(ids.unwrap_or_default().into_iter().map(LongId::into_text).collect())
    }

    /// Whether the flow is in the list of its template.
    pub(super) async fn is_listed(&self, template: &str, flow: &str) -> Result<bool, Failure> {
        let now = self.ports.clock.now();
        let periods: Vec<_> = windows(now.minus(FAR_REACH)..now, MONTH).collect();
        for period in periods.into_iter().rev() {
            if self.list_ended(template, period).await?.ids.iter().any(|id| id == flow) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
