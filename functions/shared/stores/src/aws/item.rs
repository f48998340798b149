//! The attributes of the ledger's items.
//!
//! | `pk` | what | `subject`, `at` in the index `by_subject` |
//! |---|---|---|
//! | `request#SOURCE#TENANT#INSTANCE#VERDICT` | a request | `day#DAYS`, its first claim |
//! | `event#SOURCE#TENANT#EVENT` | a processed event id | `event#EVENT`, its receipt |
//! | `lookup#SUBJECT#REQUEST` | what a request can be found by | the subject, the receipt |
//! | `grant#TARGET#DEVICE` | who has a device | `grants` while somebody has it, since when |
//! | `waiting#REQUEST` | a request that waits | `waiting`, its next attempt |
//! | `config#current` | the flows that the worker runs | |
//! | `breaker#TARGET` | a circuit breaker | `breakers`, 0 |
//! | `discarded#MESSAGE` | a dead letter that was taken out | `dropped`, when |

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use greenlight_core::Timestamp;
use greenlight_core::ledger::REMEMBERED_FOR;
use greenlight_core::ports::LedgerError;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The subject of all grants.
pub(super) const GRANTS: &str = "grants";

/// The subject of the requests that wait for their next attempt.
pub(super) const WAITING: &str = "waiting";

/// The subject of all circuit breakers.
pub(super) const BREAKERS: &str = "breakers";

/// The subject of all dead letters that were taken out.
#[cfg(feature = "operator")]
pub(super) const DROPPED: &str = "dropped";

/// The subject of the requests of a day, see [`greenlight_core::audit::day`].
pub(super) fn of_day(day: i64) -> String {
    format!("day#{day}")
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Seconds since the Unix epoch, as DynamoDB's time to live wants them.
pub(super) fn expiry(now: Timestamp) -> AttributeValue {
    number(now.plus(REMEMBERED_FOR).as_seconds())
}

pub(super) fn string<'a>(item: &'a Item, name: &str) -> Result<&'a str, LedgerError> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map(String::as_str).ok_or_else(|| unreadable(name))
}

pub(super) fn timestamp(item: &Item, name: &str) -> Result<Timestamp, LedgerError> {
    let value = item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
    value.map(Timestamp::from_millis).ok_or_else(|| unreadable(name))
}

pub(super) fn unreadable(what: &str) -> LedgerError {
    LedgerError(format!("{what} is not of the shape that greenlight writes"))
}
