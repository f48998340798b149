//! All that is wrong, told at once.

use std::error::Error;
use std::fmt;

/// One or more mistakes of the same kind; told in one line, for a log, or with `{:#}` a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes<E>(Vec<E>);

impl<E> Mistakes<E> {
    /// `Ok` when there are none.
    ///
    /// # Errors
    /// When there are some.
    pub fn none_of(mistakes: Vec<E>) -> Result<(), Self> {
        if mistakes.is_empty() { Ok(()) } else { Err(Self(mistakes)) }
    }

    /// Them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.0.iter()
    }

    /// Each told another way.
    #[must_use]
    pub fn map<T>(self, convert: impl FnMut(E) -> T) -> Mistakes<T> {
        Mistakes(self.0.into_iter().map(convert).collect())
    }
}

impl<E> From<E> for Mistakes<E> {
    fn from(only: E) -> Self {
        Self(vec![only])
    }
}

impl<E: fmt::Display> fmt::Display for Mistakes<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { "\n" } else { "; " };
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { between };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl<E: Error> Error for Mistakes<E> {}
