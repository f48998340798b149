//! MiniJinja filters that whitelist APIs need.

#![allow(
    clippy::needless_pass_by_value,
    reason = "MiniJinja hands values over as a filter's signature says"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use greenlight_core::mac::{Eui48, Spelling};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use md5::Md5;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Registers all filters.
pub(crate) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("md5", |text: &str| hex(&Md5::digest(text)));
    environment.add_filter("sha256", |text: &str| hex(&Sha256::digest(text)));
    environment.add_filter("hmac_sha256", hmac_sha256);
    environment.add_filter("base64", |text: &str| STANDARD.encode(text));
    environment.add_filter("format_mac", spelled);
    environment.add_filter("select_mac", select_mac);
    environment.add_filter("add_mac", add_mac);
    environment.add_filter("remove_mac", remove_mac);
    environment.add_filter("unix", |time: Value| moment(&time).map(Timestamp::as_second));
    environment.add_filter("unix_ms", |time: Value| moment(&time).map(Timestamp::as_millisecond));
    environment.add_filter("datetime", datetime);
    environment.add_filter("minutes_since", |time: Value, start: Value| after(&time, &start, 60));
    environment.add_filter("days_since", |time: Value, start: Value| after(&time, &start, 86_400));
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(bytes))
}

fn unfit(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

/// `text | hmac_sha256(key)`: in hexadecimal.
fn hmac_sha256(text: &str, key: &str) -> Result<String, Error> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| unfit("the key is not valid"))?;
    hmac.update(text.as_bytes());
    Ok(hex(&hmac.finalize().into_bytes()))
}

fn device(value: &Value) -> Option<Eui48> {
    Eui48::parse(value.as_str()?).ok()
}

/// `mac | format_mac('dash', 'upper')`: for an API that needs a second address format.
fn spelled(mac: Value, separator: &str, case: &str) -> Result<String, Error> {
    let spelling = json!({ "separator": separator, "case": case });
    let spelling: Spelling = serde_json::from_value(spelling)
        .map_err(|_| unfit("the format needs a separator and a case, as in `mac`"))?;
    let mac = device(&mac).ok_or_else(|| unfit("not a MAC address"))?;
    Ok(mac.spelled(spelling))
}

/// `items | select_mac('mac', mac)`: the items whose attribute is this device, or a list that
/// contains it, in any format. Lookups of many NACs are fuzzy; only an exact match counts. Without
/// an attribute the items themselves are compared. With one, a mapping is a list of one item,
/// because XML does not show whether there could be more.
fn select_mac(items: Value, attribute: Option<&str>, mac: Value) -> Result<Vec<Value>, Error> {
    let wanted = device(&mac).ok_or_else(|| unfit("not a MAC address"))?;
    if items.is_undefined() || items.is_none() {
        return Ok(Vec::new());
    }
    let is_it = |item: &Value| {
        let value = match attribute {
            Some(name) => item.get_attr(name).unwrap_or_default(),
            None => item.clone(),
        };
        let is_listed = || {
            let mut listed = value.try_iter().into_iter().flatten();
            value.as_str().is_none() && listed.any(|value| device(&value) == Some(wanted))
        };
        device(&value) == Some(wanted) || is_listed()
    };
    if attribute.is_some() && items.kind() == ValueKind::Map {
        return Ok(Some(items).into_iter().filter(is_it).collect());
    }
    Ok(items.try_iter()?.filter(is_it).collect())
}

/// `list | add_mac(mac)`: the list with this address appended.
fn add_mac(list: Value, mac: Value) -> Result<Vec<Value>, Error> {
    Ok(remove_mac(list, mac.clone())?.into_iter().chain([mac]).collect())
}

/// `list | remove_mac(mac)`: the list without this address, in any format.
fn remove_mac(list: Value, mac: Value) -> Result<Vec<Value>, Error> {
    let unwanted = device(&mac).ok_or_else(|| unfit("not a MAC address"))?;
    Ok(list.try_iter()?.filter(|item| device(item) != Some(unwanted)).collect())
}

/// Parses a time: RFC 3339, as in forms, or milliseconds since the Unix epoch, as in `now`.
fn moment(value: &Value) -> Result<Timestamp, Error> {
    let no_moment = || unfit("not a time");
    if let Some(text) = value.as_str() {
        return text.parse().map_err(|_| no_moment());
    }
    let millis = i64::try_from(value.clone()).map_err(|_| no_moment())?;
    Timestamp::from_millisecond(millis).map_err(|_| no_moment())
}

/// `time | datetime('%Y-%m-%d %H:%M:%S', '+08:00')`: the local time at that offset.
fn datetime(time: Value, format: &str, offset: &str) -> Result<String, Error> {
    let no_offset = || unfit("the offset must look like +08:00");
    let (sign, rest) = match offset.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(no_offset()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(no_offset)?;
    let (hours, minutes): (i32, i32) = hours
        .parse()
        .and_then(|hours| minutes.parse().map(|minutes| (hours, minutes)))
        .map_err(|_| no_offset())?;
    let offset =
        Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).map_err(|_| no_offset())?;
    let zoned = moment(&time)?.to_zoned(TimeZone::fixed(offset));
    jiff::fmt::strtime::format(format, &zoned).map_err(|_| unfit("not a strftime format"))
}

/// Returns the units of `seconds` between two times, rounded up; 0 if the first is earlier.
fn after(time: &Value, start: &Value, seconds: i64) -> Result<i64, Error> {
    let between = moment(time)?.as_second() - moment(start)?.as_second();
    Ok((between.max(0) + seconds - 1) / seconds)
}
