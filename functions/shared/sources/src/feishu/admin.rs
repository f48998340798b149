//! Setup and checks in Feishu, for the operator's commands.

use greenlight_core::Failure;
use greenlight_core::ports::{Clock, Http, ReadSecret};
use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::{AnswerPart, ApiError, FeishuClient};

/// Already subscribed: counts as a success.
const SUBSCRIBED_ALREADY: i64 = 1_390_007;

/// An approval definition, reduced to what flows need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The display name.
    pub name: String,
    /// Whether the definition is active.
    pub is_active: bool,
    /// Every name by which flows can refer to a widget: `custom_id`, `id` and name, also of table
    /// columns.
    pub widgets: Vec<Widget>,
}

/// A field of a form, or a column of a table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widget {
    /// `custom_id`, `id` and name, as far as defined.
    pub names: Vec<String>,
    /// The columns, if the field is a table.
    pub columns: Vec<Widget>,
}

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

impl<H: Http, S: ReadSecret, C: Clock> FeishuClient<H, S, C> {
    /// Logs in without any other call.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn check_login(&self) -> Result<(), Failure> {
        self.token().await.map(drop)
    }

    /// Subscribes the app to the events of an approval; returns `false` if it was already
    /// subscribed. Once per app; needs the scope `approval:approval` or `approval:definition`.
    /// `POST /open-apis/approval/v4/approvals/:code/subscribe`.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn subscribe(&self, approval_code: &str) -> Result<bool, Failure> {
        let path = format!("/open-apis/approval/v4/approvals/{approval_code}/subscribe");
        match self.ask::<IgnoredAny>(Method::POST, &path).await? {
            Ok(_) => Ok(true),
            Err(ApiError::Code { code: SUBSCRIBED_ALREADY, .. }) => Ok(false),
            Err(error) => Err(error.into_failure()),
        }
    }

    /// Reads an approval definition. `GET /open-apis/approval/v4/approvals/:code`, 100 a minute.
    ///
    /// # Errors
    /// [`Failure`] with the reason.
    pub async fn definition(&self, approval_code: &str) -> Result<Definition, Failure> {
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
