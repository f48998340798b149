//! Devices, by their MAC address. Canonical: lower case, with colons.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::{Accepts, Check, Explain, Explanation, FormatProblem, Found, SubjectKind};
use crate::mac::{self, Eui48, MacError, Spelling};

/// The kind `mac`.
pub const MAC: Mac = Mac;

/// The policy for random (locally administered) addresses, which a device changes from time to
/// time.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RandomMac {
    /// Report it as a problem of the form.
    #[default]
    Reject,
    /// Accept it and log a warning.
    Warn,
    /// Accept it.
    Allow,
}

/// See [`MAC`].
#[derive(Debug)]
pub struct Mac;

impl SubjectKind for Mac {
    fn name(&self) -> &'static str {
        "mac"
    }

    fn example(&self) -> &'static str {
        "00:00:5e:00:53:01"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        Ok(Eui48::parse(text.trim())?.to_string())
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        let found = |found: mac::Found| Found {
            position: found.position,
            value: found.device.map(|device| device.to_string()).map_err(Into::into),
        };
        mac::read(text, most).into_iter().map(found).collect()
    }

    fn check(&self, value: &str, accepts: &Accepts<'_>) -> Check {
        let is_random = Eui48::parse(value).is_ok_and(Eui48::is_locally_administered);
        match accepts.random_mac {
            _ if !is_random => Check::Accepted,
            RandomMac::Allow => Check::Accepted,
            RandomMac::Warn => Check::Warned(MacError::Random.explain()),
            RandomMac::Reject => Check::Rejected(MacError::Random.explain()),
        }
    }

    fn masked(&self, value: &str) -> String {
        Eui48::parse(value).map(Eui48::masked).unwrap_or_default()
    }

    fn format(&self, value: &str, options: &toml::Table) -> Result<String, FormatProblem> {
        let mut spelling = Spelling::CANONICAL;
        for (name, option) in options {
            match name.as_str() {
                "separator" => spelling.separator = choice(name, option, SEPARATORS)?,
                "case" => spelling.case = choice(name, option, CASES)?,
                unknown => return Err(FormatProblem::unknown(unknown, &["separator", "case"])),
            }
        }
        Ok(Eui48::parse(value).map(|device| device.spelled(spelling)).unwrap_or_default())
    }
}

const SEPARATORS: &str = "colon, dash, dot_four, dash_four, none";
const CASES: &str = "lower, upper";

/// The value of an option that takes one of `known`.
fn choice<'de, T: Deserialize<'de>>(
    name: &str,
    value: &'de toml::Value,
    known: &str,
) -> Result<T, FormatProblem> {
    let wrong = || FormatProblem::Value { option: name.to_owned(), known: known.to_owned() };
    let text = value.as_str().ok_or_else(wrong)?;
    let text: StrDeserializer<'de, ValueError> = text.into_deserializer();
    T::deserialize(text).map_err(|_| wrong())
}
