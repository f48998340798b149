//! Whether a person is a member of the organisation, by Feishu's contacts.

use greenlight_core::Failure;
use greenlight_core::person::Presence;
use http::Method;
use serde::Deserialize;

use super::client::FeishuClient;
use super::error::ApiError;

/// Codes of "obtain the information of a user":
/// <https://open.feishu.cn/document/server-docs/contact-v3/user/get>.
mod code {
    /// The person is outside of the contacts that the app may read.
    pub(super) const NO_USER_AUTHORITY: i64 = 41_050;
    /// No person has this id.
    pub(super) const USER_ID_INVALID: i64 = 41_012;
}

#[derive(Deserialize)]
struct UserAnswer {
    data: UserData,
}

#[derive(Deserialize)]
struct UserData {
    user: User,
}

#[derive(Deserialize)]
struct User {
    /// Absent unless the app has the scope `contact:user.employee:readonly`.
    #[serde(default)]
    status: Option<UserStatus>,
}

#[derive(Deserialize)]
struct UserStatus {
    /// The person was removed by an administrator.
    #[serde(default)]
    is_resigned: Option<bool>,
    /// The person quit the organisation; some time later, `is_resigned` is true.
    #[serde(default)]
    is_exited: Option<bool>,
}

impl UserAnswer {
    const fn presence(&self) -> Presence {
        let Some(status) = &self.data.user.status else { return Presence::Unknown };
        match (status.is_resigned, status.is_exited) {
            (Some(true), _) | (_, Some(true)) => Presence::Left,
            (Some(false), _) => Presence::Present,
            (None, _) => Presence::Unknown,
        }
    }
}

impl FeishuClient {
    /// `GET /open-apis/contact/v3/users/:user_id`, 1000 a minute and 50 a second.
    pub(super) async fn read_presence(&self, open_id: &str) -> Result<Presence, Failure> {
        let path = format!("/open-apis/contact/v3/users/{open_id}?user_id_type=open_id");
        match self.ask::<UserAnswer>(Method::GET, &path).await? {
            Ok(answer) => Ok(answer.presence()),
            Err(ApiError::Code {
                code: code::NO_USER_AUTHORITY | code::USER_ID_INVALID, ..
            }) => Ok(Presence::Unknown),
            Err(error) => Err(error.into_failure()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(status: &str) -> Presence {
        let answer = format!(r#"{{"code":0,"data":{{"user":{{"open_id":"ou_1"{status}}}}}}}"#);
        serde_json::from_str::<UserAnswer>(&answer).unwrap().presence()
    }

    #[test]
    fn a_person_has_left_only_if_the_answer_says_so() {
        let status = |is_resigned: bool, is_exited: bool| {
            presence(&format!(
                r#","status":{{"is_resigned":{is_resigned},"is_exited":{is_exited}}}"#
            ))
        };
        assert_eq!(status(true, false), Presence::Left);
        assert_eq!(status(false, true), Presence::Left);
        assert_eq!(status(false, false), Presence::Present);
        assert_eq!(presence(""), Presence::Unknown, "without the scope");
        assert_eq!(presence(r#","status":{}"#), Presence::Unknown);
    }
}
