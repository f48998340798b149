//! The spelling of an address for a target.

use serde::{Deserialize, Serialize};

/// The spelling that a target expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// The separator between the groups.
    #[serde(default)]
    pub separator: Separator,
    /// Case of the digits.
    #[serde(default)]
    pub case: Case,
}

impl Spelling {
    /// `00:00:5e:00:53:01`, as in the ledger.
    pub const CANONICAL: Self = Self { separator: Separator::Colon, case: Case::Lower };
}

impl Default for Spelling {
    fn default() -> Self {
        Self::CANONICAL
    }
}

/// The separator between the groups of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `00:00:5e:00:53:01`
    #[default]
    Colon,
    /// `00-00-5e-00-53-01`
    Dash,
    /// `0000.5e00.5301`
    DotFour,
    /// `0000-5e00-5301`
    DashFour,
    /// `00005e005301`
    None,
}

/// Case of the digits of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// `5e`
    #[default]
    Lower,
    /// `5E`
    Upper,
}
