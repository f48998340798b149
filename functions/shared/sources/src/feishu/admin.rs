//! Setup and checks in Feishu, for the operator's commands.

use futures_util::future::BoxFuture;
use greenlight_core::Failure;
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::FeishuClient;
use super::error::{AnswerPart, ApiError};
use crate::source::{Admin, Definition, Definitions, Widget};

/// Already subscribed: counts as a success.
const SUBSCRIBED_ALREADY: i64 = 1_390_007;

#[derive(Deserialize)]
struct DefinitionAnswer {
    data: DefinitionData,
}

#[derive(Deserialize)]
struct DefinitionData {
    #[serde(default)]
    approval_name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    form: String,
}

#[derive(Deserialize)]
struct RawWidget {
    #[serde(default)]
    id: String,
    #[serde(default)]
    custom_id: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    children: Option<Vec<RawWidget>>,
}

impl From<RawWidget> for Widget {
    fn from(raw: RawWidget) -> Self {
        let names = [raw.custom_id.unwrap_or_default(), raw.id, raw.name];
        Self {
            names: names.into_iter().filter(|name| !name.is_empty()).collect(),
            columns: raw.children.unwrap_or_default().into_iter().map(Self::from).collect(),
        }
    }
}

impl Admin for FeishuClient {
    fn url(&self) -> &str {
        self.base_url()
    }

    fn check_login(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { self.token().await.map(drop) })
    }

    fn definitions(&self) -> Option<&dyn Definitions> {
        Some(self)
    }
}

impl Definitions for FeishuClient {
    fn subscribe<'a>(&'a self, definition_id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.subscribe_to(definition_id))
    }

    fn definition<'a>(
        &'a self,
        definition_id: &'a str,
    ) -> BoxFuture<'a, Result<Definition, Failure>> {
        Box::pin(self.read_definition(definition_id))
    }
}

impl FeishuClient {
    /// Once per app; needs the scope `approval:approval` or `approval:definition`.
    /// `POST /open-apis/approval/v4/approvals/:code/subscribe`.
    async fn subscribe_to(&self, approval_code: &str) -> Result<bool, Failure> {
        let path = format!("/open-apis/approval/v4/approvals/{approval_code}/subscribe");
        match self.ask::<IgnoredAny>(Method::POST, &path).await? {
            Ok(_) => Ok(true),
            Err(ApiError::Code { code: SUBSCRIBED_ALREADY, .. }) => Ok(false),
            Err(error) => Err(error.into_failure()),
        }
    }

    /// `GET /open-apis/approval/v4/approvals/:code`, 100 a minute.
    async fn read_definition(&self, approval_code: &str) -> Result<Definition, Failure> {
        let path = format!("/open-apis/approval/v4/approvals/{approval_code}");
        let DefinitionAnswer { data } = self.get(&path).await?;
        let widgets: Vec<RawWidget> = serde_json::from_str(&data.form)
            .map_err(|_| ApiError::Shape { part: AnswerPart::Widgets }.into_failure())?;
        Ok(Definition {
            name: data.approval_name,
            is_active: data.status == "ACTIVE",
            widgets: widgets.into_iter().map(Widget::from).collect(),
        })
    }
}
