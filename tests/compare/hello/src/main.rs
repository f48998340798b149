//! The baseline of the comparison: the cost of a Rust function on `lambda_http` that does nothing.

use lambda_http::{Error, Request, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_http::tracing::init_default_subscriber();
    run(service_fn(async |_: Request| Ok::<_, Error>("{\"msg\":\"success\"}"))).await
}
