//! `greenlight secrets set`: nothing is lost, and no value is quoted.

use greenlight::secrets::{
    Field, Names, SecretLocation, Secrets, SecretsError, Section, set, set_from,
};
use greenlight_core::flow::SourceConfigs;
use greenlight_sources::registry::Registry;
use greenlight_stores::SecretFile;
use greenlight_stores::private::write_private;
use serde_json::{Value, json};

fn registry_of_feishu() -> Registry {
    let sources = SourceConfigs::parse("sources.feishu.kind = \"feishu\"", &|_| None).unwrap();
    Registry::new(&sources).unwrap()
}

/// The fields of a source of the kind `feishu`, and of a target.
fn needed() -> Vec<Field> {
    let registry = registry_of_feishu();
    let of_sources = registry.credentials();
    let of_sources = of_sources.map(|(source, key)| Field::new(Section::Sources, source, key));
    of_sources.chain([Field::new(Section::Targets, "nac", "token")]).collect()
}

/// Prompted values are set, the others stay, and an unreadable file is not overwritten.
#[tokio::test]
async fn secrets_are_set_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let needed = needed();
    let mut asked = Vec::new();
    let answer = |path: &str, is_set: bool| {
        asked.push((path.to_owned(), is_set));
        Ok(format!("{path} value"))
    };
    let written = set(&secrets, &needed, &registry_of_feishu(), answer).await.unwrap();
    assert_eq!(written.fields.len(), 5);
    assert_eq!(written.location, SecretLocation::File { path: file.display().to_string() });
    let paths: Vec<_> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "sources.feishu.app_id",
            "sources.feishu.app_secret",
            "sources.feishu.encrypt_key",
            "sources.feishu.verification_token",
            "targets.nac.token"
        ]
    );
    assert!(asked.iter().all(|(_, is_set)| !is_set));

    let read = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let mut document = read();
    let certificate = rcgen::generate_simple_self_signed(["nac".to_owned()]).unwrap().cert.pem();
    document["targets"]["nac"]["ca_pem"] = certificate.into();
    std::fs::write(&file, document.to_string()).unwrap();
    let only_token = |path: &str, is_set: bool| {
        assert!(is_set, "{path}");
        Ok(if path == "targets.nac.token" { "new".to_owned() } else { String::new() })
    };
    set(&secrets, &needed, &registry_of_feishu(), only_token).await.unwrap();
    document["targets"]["nac"]["token"] = "new".into();
    assert_eq!(read(), document);

    std::fs::write(&file, "{\"feishu\": ").unwrap();
    let error =
        set(&secrets, &needed, &registry_of_feishu(), |_, _| Ok("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, SecretsError::NotJson { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"feishu\": ");
    std::fs::write(&file, b"{\"other\": \"\xff\"}").unwrap();
    let error =
        set(&secrets, &needed, &registry_of_feishu(), |_, _| Ok("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, SecretsError::Secret(_)), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"{\"other\": \"\xff\"}");
    std::fs::remove_file(&file).unwrap();
    let nothing =
        set(&secrets, &needed, &registry_of_feishu(), |_, _| Ok(String::new())).await.unwrap_err();
    assert!(
        matches!(&nothing, SecretsError::Missing(Names(paths)) if paths == &["sources.feishu.app_id"]),
        "{nothing}"
    );
    assert!(!file.exists());
}

/// Piped input is a document or NAME=VALUE lines; other input is rejected without being quoted.
#[tokio::test]
async fn secrets_set_from_a_pipe_takes_names_or_a_document_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let needed = needed();
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let lines = "# a comment\n\nsources.feishu.app_id=cli_a\nsources.feishu.app_secret=a=b=\n\
                 sources.feishu.encrypt_key= k \nsources.feishu.verification_token=t\ntargets.nac.token=n\n";
    let written = set_from(&secrets, &needed, &registry_of_feishu(), lines).await.unwrap();
    let feishu = json!({"app_id": "cli_a", "app_secret": "a=b=", "encrypt_key": " k ",
        "verification_token": "t"});
    assert_eq!(read(), json!({"sources": {"feishu": feishu}, "targets": {"nac": {"token": "n"}}}));
    assert_eq!(written.fields[0], "sources.feishu.app_id");

    // One name changes one value; a target's own CA certificate can be set, too.
    let certificate = rcgen::generate_simple_self_signed(["nac".to_owned()]).unwrap().cert.pem();
    let more =
        format!("targets.nac.token=new\ntargets.nac.ca_pem={}", certificate.replace('\n', "\\n"));
    set_from(&secrets, &needed, &registry_of_feishu(), &more).await.unwrap();
    let with_authority = json!({"token": "new", "ca_pem": certificate});
    assert_eq!(read(), json!({"sources": {"feishu": feishu}, "targets": {"nac": with_authority}}));

    // A document replaces the old one, even if that is invalid.
    std::fs::write(&file, "{broken").unwrap();
    let document = json!({"sources": {"feishu": feishu}, "targets": {"nac": {"token": "again"}}});
    let error = set_from(&secrets, &needed, &registry_of_feishu(), "targets.nac.token=x")
        .await
        .unwrap_err();
    assert!(matches!(error, SecretsError::NotJson { .. }), "{error}");
    set_from(&secrets, &needed, &registry_of_feishu(), &format!("\n{document:#}\n")).await.unwrap();
    assert_eq!(read(), document);

    for (bad, why) in [
        ("s3cret\n", "line 1 is not NAME=VALUE"),
        ("s3cret", "line 1 is not NAME=VALUE"),
        ("sources.feishu.app_id=s3cret\ns3cret\n", "line 2 is not NAME=VALUE"),
        ("s3cret=s3cret", "line 1 has a NAME that is not needed"),
        ("sources.feishu.app_id=", "line 1 has no value"),
        ("", "line 1 is missing"),
        ("targets.nac.ca_pem=s3cret", "targets.nac.ca_pem: the custom CA is not"),
        (
            "{\"feishu\": {\"app_id\": \"s3cret\"}}",
            "sources.feishu.app_secret, sources.feishu.encrypt_key, \
             sources.feishu.verification_token, targets.nac.token",
        ),
        ("{\"feishu\": \"s3cret\"", "a syntax error at line 1"),
    ] {
        let error =
            set_from(&secrets, &needed, &registry_of_feishu(), bad).await.unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("s3cret"), "{bad}: {error}");
        assert_eq!(read(), document, "nothing is written");
    }
}

/// A document of the first edition has Feishu beside the targets: its values are read, and moved
/// when one is set.
#[tokio::test]
async fn secrets_of_the_first_edition_are_moved_to_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let mut feishu = json!({"app_id": "cli_a", "app_secret": "s", "encrypt_key": "k",
        "verification_token": "t"});
    let document = json!({"feishu": feishu, "targets": {"nac": {"token": "n"}}});
    write_private(&file, &document.to_string()).unwrap();
    let secret = secrets.read().await.unwrap();
    assert_eq!(secret.source("feishu").and_then(|it| it.get("app_id")), Some("cli_a"));

    set_from(&secrets, &needed(), &registry_of_feishu(), "sources.feishu.encrypt_key=new")
        .await
        .unwrap();
    feishu["encrypt_key"] = "new".into();
    let moved = json!({"sources": {"feishu": feishu}, "targets": {"nac": {"token": "n"}}});
    let read: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(read, moved);
}

/// A secret that is rotated has the new and the old value for a while.
#[tokio::test]
async fn secrets_with_several_lines_of_a_name_are_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let needed = [Field::new(Section::Sources, "oa", "secret")];
    let source = r#"[sources.oa]
        kind = "webhook"
        authority = "message"
        event = { instance_id = "/id", definition_id = "/form", status = "/status" }
        instance = { form = "/fields" }
        statuses = { approved = ["agree"] }"#;
    let registry = Registry::new(&SourceConfigs::parse(source, &|_| None).unwrap()).unwrap();
    let set = async |values: [&str; 2]| {
        let lines = values.map(|value| format!("sources.oa.secret={value}\n")).concat();
        set_from(&secrets, &needed, &registry, &lines).await
    };
    let new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    // A value that its source cannot use is not written.
    let weak = set([new, "short"]).await.unwrap_err().to_string();
    assert!(weak.contains("`sources.oa.secret` of the secret cannot be used"), "{weak}");
    assert!(!file.exists());
    set([new, old]).await.unwrap();
    let secret = secrets.read().await.unwrap();
    let values: Vec<_> = secret.source("oa").unwrap().all("secret").collect();
    assert_eq!(values, [new, old]);
}
