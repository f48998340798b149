//! API Gateway's payload format 2.0, both ways.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::{Answer, Delivery, Refusal};
use http::header::{CONTENT_TYPE, HeaderValue};
use lambda_http::request::LambdaRequest;
use thiserror::Error;

pub(crate) type Response = ApiGatewayV2httpResponse;

/// The function was invoked by something other than an HTTP API.
#[derive(Debug, Error)]
#[error("the event is none of an HTTP API (payload format 2.0)")]
pub(crate) struct NotHttpApi;

/// The delivery with the exact bytes that were sent.
///
/// Not by way of `lambda_http::Body`, which panics when the base64 is none.
pub(crate) fn delivery(request: LambdaRequest) -> Result<Result<Delivery, Refusal>, NotHttpApi> {
    let LambdaRequest::ApiGatewayV2(request) = request else {
        return Err(NotHttpApi);
    };
    let text = request.body.unwrap_or_default();
    let body = if request.is_base64_encoded {
        STANDARD.decode(text).map_err(|_| Refusal::NotBase64)
    } else {
        Ok(text.into_bytes())
    };
    Ok(body.map(|body| Delivery { headers: request.headers, body: body.into() }))
}

pub(crate) fn response(answer: &Answer) -> Response {
    let mut response = Response::default();
    response.status_code = answer.status().into();
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.body = Some(Body::Text(answer.body()));
    response
}
