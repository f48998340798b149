//! Members that office systems leave out or send as `null`.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default of the type.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}
