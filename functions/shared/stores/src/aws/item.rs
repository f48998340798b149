//! The attributes of the ledger's items.
//!
//! | `pk` | what | `gsi1pk`, `gsi1sk` in the index `gsi1` |
//! |---|---|---|
//! | `request#SOURCE#DEFINITION#INSTANCE#DECISION` | a request | `day#DAYS`, its first claim |
//! | `event#SOURCE#TENANT#EVENT` | a processed event id | `event#EVENT`, its receipt |
//! | `lookup#KIND#VALUE#REQUEST` | what a request can be found by | `KIND#VALUE`, the receipt |
//! | `grant#TARGET#KIND:VALUE` | the access of a subject, and its holds | `grants` until it is removed, when it is due |
//! | `waiting#REQUEST` | a request that waits | `waiting`, its next attempt |
//! | `unwanted#SOURCE#DEFINITION#DECISION` | decisions that no flow wants | `unwanted`, the last one |
//! | `replay#REQUEST#EVENT` | a message that an operator asked for | |
//! | `person#SOURCE#PERSON` | what is known and counted of a person | |
//! | `block#KIND:VALUE` | a subject that an operator blocked | `blocks`, since when |
//! | `act#ID` | what an operator did | `acts`, when |
//! | `schedule` | the ticks | |
//! | `sweep#SOURCE#DEFINITION` | the sweeps over an approval definition | `sweeps`, 0 |
//! | `config#current` | the flows that the worker runs | |
//! | `breaker#TARGET` | a circuit breaker | `breakers`, 0 |
//! | `discarded#MESSAGE` | a dead letter that was discarded | `discarded`, when |
//!
//! Each item has its version in `v`. Items of another version are rejected and never changed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use greenlight_core::Timestamp;
use greenlight_core::ports::LedgerError;

use super::error::TableError;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The version of the items, in their attribute `v`.
pub(super) const VERSION: i64 = 2;

/// The index.
pub(super) const GSI: &str = "gsi1";

/// The index's partition key.
pub(super) const GSI_PK: &str = "gsi1pk";

/// The index's sort key, a number.
pub(super) const GSI_SK: &str = "gsi1sk";

/// The index key of all grants.
pub(super) const GRANTS: &str = "grants";

/// The index key of all blocked subjects.
pub(super) const BLOCKS: &str = "blocks";

/// The index key of all acts of operators.
#[cfg(feature = "operator")]
pub(super) const ACTS: &str = "acts";

/// The index key of the requests that wait for their next attempt.
pub(super) const WAITING: &str = "waiting";

/// The index key of the decisions that no flow wants, and the beginning of their keys.
pub(super) const UNWANTED: &str = "unwanted";

/// The index key of the records of sweeps.
pub(super) const SWEEPS: &str = "sweeps";

/// The index key of all circuit breakers.
pub(super) const BREAKERS: &str = "breakers";

/// The index key of all discarded dead letters.
#[cfg(feature = "operator")]
pub(super) const DISCARDED: &str = "discarded";

/// The index key of the requests of a day, see [`greenlight_core::audit::day`].
pub(super) fn of_day(day: i64) -> String {
    format!("day#{day}")
}

/// An item of this version with the key `pk`.
pub(super) fn new_item<const N: usize>(
    pk: &str,
    attributes: [(String, AttributeValue); N],
) -> Item {
    let key = [("pk".to_owned(), text(pk)), ("v".to_owned(), number(VERSION))];
    key.into_iter().chain(attributes).collect()
}

/// Rejects an item that another version of greenlight wrote.
pub(super) fn check_version(item: &Item) -> Result<(), LedgerError> {
    let found = item.get("v").and_then(|value| value.as_n().ok());
    if found.is_some_and(|found| *found == VERSION.to_string()) {
        return Ok(());
    }
    let pk = item.get("pk").and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    let error = TableError::Version {
        pk: pk.to_owned(),
        found: found.map_or("-", String::as_str).to_owned(),
        expected: VERSION,
    };
    Err(LedgerError(error.into()))
}

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Returns seconds since the Unix epoch, as DynamoDB's time to live needs them.
pub(super) fn expiry(at: Timestamp, retention: Duration) -> AttributeValue {
    number(at.plus(retention).as_seconds())
}

pub(super) fn string<'a>(item: &'a Item, name: &str) -> Result<&'a str, LedgerError> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map(String::as_str).ok_or_else(|| unreadable(name))
}

pub(super) fn integer(item: &Item, name: &str) -> Result<i64, LedgerError> {
    let value = item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
    value.ok_or_else(|| unreadable(name))
}

pub(super) fn timestamp(item: &Item, name: &str) -> Result<Timestamp, LedgerError> {
    integer(item, name).map(Timestamp::from_millis)
}

pub(super) fn unreadable(name: &str) -> LedgerError {
    LedgerError(TableError::Format { name: name.to_owned() }.into())
}
