//! Validation errors, all reported at once.

use std::error::Error;
use std::fmt;

/// One or more errors of the same kind; displayed in one line, for a log, or with `{:#}` one per
/// line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationErrors<E>(Vec<E>);

impl<E> ValidationErrors<E> {
    /// `Ok` if there are none.
    ///
    /// # Errors
    /// All of `errors`, if there are any.
    pub fn into_result(errors: Vec<E>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The errors, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.0.iter()
    }

    /// Converts each error.
    #[must_use]
    pub fn map<T>(self, convert: impl FnMut(E) -> T) -> ValidationErrors<T> {
        ValidationErrors(self.0.into_iter().map(convert).collect())
    }
}

impl<E> From<E> for ValidationErrors<E> {
    fn from(only: E) -> Self {
        Self(vec![only])
    }
}

impl<E: fmt::Display> fmt::Display for ValidationErrors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { "\n" } else { "; " };
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { between };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl<E: Error> Error for ValidationErrors<E> {}
