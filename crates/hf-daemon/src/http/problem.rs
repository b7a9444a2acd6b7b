//! Answers that say what is wrong: `application/problem+json`.
//!
//! Sources: RFC 9457; RFC 9110 §15 for the statuses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::json;

/// Something is wrong with a request, or cannot be done now.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<(HeaderName, HeaderValue)>,
    /// The rest of the request is not read.
    close: bool,
}

impl Problem {
    /// Makes one; `detail` is for people.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, close: false }
    }

    /// Of a request that is not understood.
    #[must_use]
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Of a request without the right to be asked.
    #[must_use]
    pub fn unauthorised() -> Self {
        // Browsers know only the second, whose password is the token.
        let how = HeaderValue::from_static("Bearer realm=\"holdfast\", Basic realm=\"holdfast\"");
        let detail = "a bearer token is required";
        Self { field: Some((WWW_AUTHENTICATE, how)), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// Of a method that a path does not have.
    #[must_use]
    pub fn method(allowed: &str) -> Self {
        let allow = HeaderValue::from_str(allowed).ok().map(|value| (ALLOW, value));
        let detail = format!("allowed: {allowed}");
        Self { field: allow, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// Of a body above the limit.
    #[must_use]
    pub fn too_large(bytes_max: u64) -> Self {
        let detail = format!("the body has more than {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail).closing()
    }

    /// Of a service that has too much to do.
    #[must_use]
    pub fn busy() -> Self {
        let field = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        let detail = "too many requests are being served";
        Self { field, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }.closing()
    }

    /// Says that the connection ends, since the rest of the request is not read.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the answer.
    #[must_use]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        fields.extend(self.field);
        if self.close {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
