//! `greenlight secrets set`: the credentials, asked for without echo or read from a pipe, into
//! Secrets Manager or a file.

use std::fmt;
use std::io;

use greenlight_core::explain::Explain;
use greenlight_core::ports::FetchSecret;
use greenlight_core::secret::{Secret, SecretError};
use greenlight_http::{Client, ClientError};
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_sources::registry::Registry;
use greenlight_stores::SecretFile;
use greenlight_stores::aws::SecretsManager;
use serde_json::{Map, Value};
use thiserror::Error;

/// The optional key for the certificate authority of a target.
const CA_PEM: &str = "ca_pem";

/// The store of the secret.
#[derive(Clone, Debug)]
pub enum Secrets {
    File(SecretFile),
    /// Secrets Manager.
    Manager(SecretsManager),
}

impl FetchSecret for Secrets {
    async fn fetch(&self) -> Result<String, SecretError> {
        match self {
            Self::File(file) => file.fetch().await,
            Self::Manager(manager) => manager.fetch().await,
        }
    }
}

/// The location of a secret.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("secret_location")]
pub enum SecretLocation {
    #[error("the file {path}")]
    File { path: String },
    /// Secrets Manager.
    #[error("Secrets Manager, {id}")]
    Manager {
        /// The secret.
        id: String,
    },
}

/// The secret cannot be set. No error quotes a value.
#[derive(Debug, Error, Explain)]
#[explain("secrets")]
pub enum SecretsError {
    /// The secret cannot be read or written, or is not complete.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The current secret is no JSON object, so no field can be added to it.
    #[error(
        "the secret in {location} is not a JSON object, and is unchanged: to replace it pipe a whole document in, \
         `greenlight secrets set < secrets.json`"
    )]
    NotJson {
        /// The location of the secret.
        location: SecretLocation,
    },
    /// The piped input begins like JSON, but is invalid.
    #[error(
        "the piped input is no JSON document: a syntax error at line {line} column {column}; nothing is written"
    )]
    BadDocument {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A line of the piped input is invalid.
    #[error(
        "line {line} {problem}: pipe NAME=VALUE lines, such as `sources.feishu.app_id=cli_…`, or a whole JSON document in; \
         nothing is written"
    )]
    BadLine {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// Required fields are neither given nor set.
    #[error("nothing is written, as values are missing: {0}")]
    Missing(Names),
    /// The certificate authority of a target is invalid.
    #[error("targets.{target}.ca_pem: {cause}; nothing is written")]
    BadAuthority {
        target: String,
        /// What is wrong.
        cause: ClientError,
    },
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Ask(#[from] io::Error),
}

/// Names of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// What is wrong with a line of the piped input.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("secrets_line")]
pub enum LineProblem {
    /// There is no `=`.
    #[error("is not NAME=VALUE")]
    NoName,
    /// Nothing follows the `=`.
    #[error("has no value")]
    NoValue,
    /// The name is not one of those that the flows need.
    #[error("has a NAME that is not needed; needed: {needed}")]
    NotNeeded {
        /// The names that are needed.
        needed: Names,
    },
    /// The input is empty.
    #[error("is missing: there is no input")]
    NoInput,
}

impl Secrets {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`SecretError`] names what is missing in it.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        Secret::parse(&self.fetch().await?)
    }

    /// The location.
    #[must_use]
    pub fn location(&self) -> SecretLocation {
        match self {
            Self::File(file) => SecretLocation::File { path: file.path().display().to_string() },
            Self::Manager(manager) => SecretLocation::Manager { id: manager.id().to_owned() },
        }
    }

    async fn put(&self, document: &str) -> Result<(), SecretError> {
        match self {
            Self::File(file) => file.put(document),
            Self::Manager(manager) => manager.put(document).await,
        }
    }

    /// The current document, or an empty one if there is none.
    async fn document(&self) -> Result<Value, SecretsError> {
        let text = match self.fetch().await {
            Err(SecretError::Absent(_)) => return Ok(Value::Object(Map::new())),
            // An unreadable secret must not be overwritten.
            text => text?,
        };
        let document = serde_json::from_str(&text).ok().filter(Value::is_object);
        document.ok_or_else(|| SecretsError::NotJson { location: self.location() })
    }

    /// Checks that all of `needed` is there, and writes it.
    async fn write(
        &self,
        document: &Value,
        needed: &[Field],
        sources: &Registry,
    ) -> Result<(), SecretsError> {
        let is_missing = |field: &&Field| !field.is_set_in(document);
        let missing: Vec<_> = needed.iter().filter(is_missing).map(Field::path).collect();
        if !missing.is_empty() {
            return Err(SecretsError::Missing(Names(missing)));
        }
        let text = document.to_string();
        let secret = Secret::parse(&text)?;
        sources.check_credentials(&secret)?;
        for target in secret.targets.keys() {
            if let Some(pem) = secret.ca_pem(target) {
                let bad = |cause| SecretsError::BadAuthority { target: target.clone(), cause };
                Client::new(Some(pem)).map_err(bad)?;
            }
        }
        Ok(self.put(&text).await?)
    }
}

/// A field of the secret: the section, the source or target, and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(Section, String, String);

/// A section of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Sources,
    Targets,
}

impl Section {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Targets => "targets",
        }
    }
}

impl Field {
    /// A credential of a source or a target.
    #[must_use]
    pub fn new(section: Section, name: &str, key: &str) -> Self {
        Self(section, name.to_owned(), key.to_owned())
    }

    /// The field of a dotted path.
    fn of_path(path: &str) -> Option<Self> {
        let mut sections = [Section::Sources, Section::Targets].into_iter();
        let (section, rest) = path.split_once('.')?;
        let section = sections.find(|it| it.as_str() == section)?;
        // Names of sources and targets may have dots, keys have none.
        let (name, key) = rest.rsplit_once('.')?;
        Some(Self::new(section, name, key))
    }

    /// The path in dotted form: `sources.feishu.app_secret`, `targets.nac.token`.
    #[must_use]
    pub fn path(&self) -> String {
        let Self(section, name, key) = self;
        format!("{}.{name}.{key}", section.as_str())
    }

    fn is_set_in(&self, document: &Value) -> bool {
        let Self(section, name, key) = self;
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        let value = &document[section.as_str()][name][key];
        is_text(value) || value.as_array().is_some_and(|values| values.iter().any(is_text))
    }

    /// Sets the value, and creates missing objects above it. Several values are a list.
    fn set(&self, document: &mut Value, texts: &[String]) {
        let Self(section, name, key) = self;
        let place = [section.as_str(), name, key].into_iter().fold(document, |value, key| {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            &mut value[key]
        });
        *place = match texts {
            [text] => Value::String(text.clone()),
            texts => texts.iter().cloned().map(Value::String).collect(),
        };
    }

    fn is_ca(&self) -> bool {
        self.0 == Section::Targets && self.2 == CA_PEM
    }
}

/// The written fields, and the location of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The fields that have a new value, by their paths.
    pub fields: Vec<String>,
    /// Where the secret is.
    pub location: SecretLocation,
}

impl Written {
    /// For people.
    #[must_use]
    pub fn render(&self, language: Language) -> String {
        let Self { fields, location } = self;
        let place = language.explain(&location.explain());
        if fields.is_empty() {
            return text!(language, "nothing is changed in {place}\n", "{place} 未更改\n");
        }
        text!(
            language,
            "set in {place}: {fields}\na running greenlight reads it within seconds of the next \
             signature or login that fails\n",
            "已写入 {place}：{fields}\n运行中的 greenlight 会在下一次验签或登录失败后的数秒内读取新值\n",
            fields = fields.join(language.pick(", ", "、"))
        )
    }
}

/// Asks for every field of `needed`, and writes the secret. An empty answer keeps a value, and all
/// other fields stay. `ask` gets the field and whether it has a value.
///
/// # Errors
/// [`SecretsError`]; nothing is written then.
pub async fn set(
    secrets: &Secrets,
    needed: &[Field],
    sources: &Registry,
    mut ask: impl FnMut(&str, bool) -> io::Result<String>,
) -> Result<Written, SecretsError> {
    let mut document = moved(secrets.document().await?, needed);
    let mut fields = Vec::new();
    for field in needed {
        let is_set = field.is_set_in(&document);
        let answer = ask(&field.path(), is_set)?;
        if !answer.is_empty() {
            field.set(&mut document, &[answer]);
            fields.push(field.path());
        } else if !is_set {
            return Err(SecretsError::Missing(Names(vec![field.path()])));
        }
    }
    secrets.write(&document, needed, sources).await?;
    Ok(Written { fields, location: secrets.location() })
}

/// Writes the piped input: a whole JSON document, which replaces the current one, or `NAME=VALUE`
/// lines, which set the fields that they name. Lines of the same NAME are its several values.
///
/// # Errors
/// [`SecretsError`]; nothing is written then.
pub async fn set_from(
    secrets: &Secrets,
    needed: &[Field],
    sources: &Registry,
    text: &str,
) -> Result<Written, SecretsError> {
    let (document, fields) = if text.trim_start().starts_with('{') {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            SecretsError::BadDocument { line: error.line(), column: error.column() }
        })?;
        let document = moved(document, needed);
        // Other keys are not reported: a key may be a misplaced secret.
        let is_set = |field: &&Field| field.is_set_in(&document);
        let fields = needed.iter().filter(is_set).map(Field::path).collect();
        (document, fields)
    } else {
        let mut document = moved(secrets.document().await?, needed);
        let mut fields = Vec::new();
        for (field, values) in read_lines(text, needed)? {
            fields.push(field.path());
            field.set(&mut document, &values);
        }
        (document, fields)
    };
    secrets.write(&document, needed, sources).await?;
    Ok(Written { fields, location: secrets.location() })
}

/// Moves the sources of a document of the first edition, which stand beside `targets`, to where
/// they belong.
fn moved(mut document: Value, needed: &[Field]) -> Value {
    let sources = needed.iter().filter(|field| field.0 == Section::Sources);
    for Field(section, name, _) in sources {
        if document[section.as_str()][name].is_null()
            && let Some(first_edition) = document.as_object_mut().and_then(|all| all.remove(name))
        {
            let all = &mut document[section.as_str()];
            if !all.is_object() {
                *all = Value::Object(Map::new());
            }
            all[name] = first_edition;
        }
    }
    document
}

/// `NAME=VALUE` lines; empty ones and those that begin with `#` are skipped.
fn read_lines(text: &str, needed: &[Field]) -> Result<Vec<(Field, Vec<String>)>, SecretsError> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut read: Vec<(Field, Vec<String>)> = Vec::new();
    for (number, line) in lines {
        let (field, value) = read_line(line, needed)
            .map_err(|problem| SecretsError::BadLine { line: number, problem })?;
        match read.iter_mut().find(|(known, _)| *known == field) {
            Some((_, values)) => values.push(value),
            None => read.push((field, vec![value])),
        }
    }
    if read.is_empty() {
        return Err(SecretsError::BadLine { line: 1, problem: LineProblem::NoInput });
    }
    Ok(read)
}

fn read_line(line: &str, needed: &[Field]) -> Result<(Field, String), LineProblem> {
    let (name, value) = line.split_once('=').ok_or(LineProblem::NoName)?;
    if value.is_empty() {
        return Err(LineProblem::NoValue);
    }
    let not_needed = || {
        let needed = Names(needed.iter().map(Field::path).collect());
        LineProblem::NotNeeded { needed }
    };
    let field = Field::of_path(name.trim()).ok_or_else(not_needed)?;
    if !needed.contains(&field) && !field.is_ca() {
        return Err(not_needed());
    }
    let value = value.trim_end_matches('\r');
    // A certificate has several lines.
    let value = if field.is_ca() { value.replace("\\n", "\n") } else { value.to_owned() };
    Ok((field, value))
}
