//! All that is wrong with a command at once: checks that do not need each other's results all run, and then are
//! gone through together.

use super::error::{ControlError, ControlErrors};

/// Several checks' results as one.
pub(super) trait All {
    /// What they give when none fails.
    type Output;

    /// The values of all of them, or the errors of all that failed.
    fn all(self) -> Result<Self::Output, ControlErrors>;
}

macro_rules! all {
    ($($value:ident $error:ident),+) => {
        impl<$($value, $error: Into<ControlErrors>),+> All for ($(Result<$value, $error>,)+) {
            type Output = ($($value,)+);

            #[allow(non_snake_case)]
            fn all(self) -> Result<Self::Output, ControlErrors> {
                let ($($value,)+) = self;
                let mut errors = Vec::new();
                $(let $value = keep($value, &mut errors);)+
                match ($($value,)+) {
                    ($(Some($value),)+) => Ok(($($value,)+)),
                    _ => Err(ControlErrors(errors)),
                }
            }
        }
    };
}

all!(A E, B F);
all!(A E, B F, C G);
all!(A E, B F, C G, D H);
all!(A E, B F, C G, D H, I J);
all!(A E, B F, C G, D H, I J, K L);

/// The values of all `results`, or the errors of all that failed.
pub(super) fn each<T, E: Into<ControlErrors>>(
    results: impl IntoIterator<Item = Result<T, E>>,
) -> Result<Vec<T>, ControlErrors> {
    let mut errors = Vec::new();
    let results = results.into_iter();
    let values = results
        .filter_map(|result| keep(result, &mut errors))
        .collect();
    match errors.is_empty() {
        true => Ok(values),
        false => Err(ControlErrors(errors)),
    }
}

/// Does nothing need `what` any more?
pub(super) fn unused(
    code: &'static str,
    what: String,
    by: impl Iterator<Item = String>,
    instead: &'static str,
) -> Result<(), ControlError> {
    let by: Vec<_> = by.collect();
    match by.is_empty() {
        true => Ok(()),
        false => Err(ControlError::InUse {
            code,
            what,
            by,
            instead,
        }),
    }
}

fn keep<T, E: Into<ControlErrors>>(
    result: Result<T, E>,
    errors: &mut Vec<ControlError>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            errors.extend(error.into().0);
            None
        }
    }
}
