//! Why a change did not happen: for programs a status and a code, for people a sentence. Nothing has changed then.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Templates, view};
use crate::control::{ControlError, ControlErrors};
use crate::template::Diagnostics;

/// Why a change did not happen.
#[derive(Debug)]
pub enum Refusal {
    /// The request is not understood.
    Malformed(StatusCode, String),
    /// It names what is not there: AWS's code, and a sentence.
    Unknown(&'static str, String),
    /// The templates are wrong, or cannot go: how many errors or what is refused, and the errors.
    Templates(String, Diagnostics),
    /// The control plane says no.
    Refused(ControlErrors),
    /// The machine says no.
    Failed(anyhow::Error),
    /// The daemon is on its way out.
    Stopping,
}

impl Refusal {
    /// What is wrong with `templates`.
    pub fn of(templates: &Templates, errors: Diagnostics) -> Self {
        Self::Templates(templates.count(&errors), errors)
    }

    /// What others still use.
    pub fn in_use(errors: Diagnostics) -> Self {
        Self::Templates("the stacks cannot be deleted".to_owned(), errors)
    }

    /// The request makes no sense.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(StatusCode::BAD_REQUEST, message.into())
    }

    /// The same, of the value of a flag, or of the query's parameter of its name.
    pub fn of_flag(self, flag: &str) -> Self {
        match self {
            Self::Malformed(status, message) => {
                Self::Malformed(status, format!("--{flag}: {message}"))
            }
            Self::Unknown(_, message) => Self::malformed(format!("--{flag}: {message}")),
            other => other,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(status, _) => *status,
            Self::Unknown(..) => StatusCode::NOT_FOUND,
            Self::Templates(..) => StatusCode::BAD_REQUEST,
            Self::Refused(errors) => errors.iter().map(status_of).max().unwrap_or_default(),
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// As it is answered.
    pub fn view(self) -> view::Error {
        match self {
            Self::Malformed(_, message) => view::Error {
                message,
                ..view::Error::default()
            },
            Self::Unknown(code, message) => view::Error {
                message: format!("{code}: {message}"),
                code: Some(code.to_owned()),
                ..view::Error::default()
            },
            Self::Templates(count, errors) => view::Error {
                message: format!("{count}; nothing was changed"),
                errors: errors.list,
                omitted: errors.omitted,
                code: Some("ValidationError".to_owned()),
            },
            Self::Refused(errors) => {
                let message = errors.to_string();
                view::Error {
                    code: code(&message),
                    message,
                    ..view::Error::default()
                }
            }
            Self::Failed(error) => view::Error {
                message: format!("{error:#}; nothing was changed"),
                code: Some("InternalFailure".to_owned()),
                ..view::Error::default()
            },
            Self::Stopping => view::Error {
                message: "the daemon is stopping".to_owned(),
                code: Some("Unavailable".to_owned()),
                ..view::Error::default()
            },
        }
    }
}

impl From<ControlErrors> for Refusal {
    fn from(errors: ControlErrors) -> Self {
        Self::Refused(errors)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), Json(self.view())).into_response()
    }
}

fn status_of(error: &ControlError) -> StatusCode {
    match error {
        ControlError::NotFound { .. } => StatusCode::NOT_FOUND,
        ControlError::State { .. } | ControlError::InUse { .. } => StatusCode::CONFLICT,
        ControlError::NotPermitted { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The code with which the control plane's messages begin.
fn code(message: &str) -> Option<String> {
    message.split_once(": ").map(|(code, _)| code.to_owned())
}
