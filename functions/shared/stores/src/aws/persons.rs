//! The records of people in DynamoDB: one item per person.

use std::time::Duration;

use greenlight_core::person::{PersonKey, PersonRecord};
use greenlight_core::ports::{KeepPersons, LedgerError};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{number, text};

/// While access is counted the item stays.
impl Document for PersonRecord {
    const ATTRIBUTE: &'static str = "person_record";

    fn attributes(&self, retention: Duration) -> Attributes {
        let left_at = self.left_at.filter(|_| self.counted.is_empty());
        let expires_at = left_at.map(|at| number(at.plus(retention).as_seconds()));
        expires_at.map(|at| ("expires_at", at)).into_iter().collect()
    }
}

impl KeepPersons for DynamoLedger {
    async fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> Result<(PersonRecord, T), LedgerError> {
        let named = [("source", text(&key.source)), ("person", text(&key.person))];
        self.change_document(&person_pk(key), &named, change).await
    }
}

fn person_pk(key: &PersonKey) -> String {
    format!("person#{}#{}", key.source, key.person)
}

#[cfg(feature = "operator")]
mod operator {
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
    use greenlight_core::RequestKey;
    use greenlight_core::audit::Lookup;
    use greenlight_core::operator::{PersonStore, StoreFuture};
    use greenlight_core::person::{PersonKey, PersonRecord};
    use greenlight_core::ports::{KeepPersons, LedgerError};

    use super::person_pk;
    use crate::aws::describe;
    use crate::aws::document::Document;
    use crate::aws::dynamodb::{DynamoLedger, is_refused};
    use crate::aws::item::{GSI_PK, VERSION, number, text, unreadable};

    impl PersonStore for DynamoLedger {
        fn rename_in_request<'a>(
            &'a self,
            request: &'a RequestKey,
            person: &'a str,
            pseudonym: &'a str,
        ) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                let (old, new) = (Lookup::person(person).key(), Lookup::person(pseudonym).key());
                let old_pk = format!("lookup#{old}#{request}");
                if let Some(mut item) = self.read_item(text(&old_pk)).await? {
                    item.insert("pk".to_owned(), text(&format!("lookup#{new}#{request}")));
                    item.insert(GSI_PK.to_owned(), text(&new));
                    let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
                    put.send()
                        .await
                        .map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
                }
                let update = self
                    .client
                    .update_item()
                    .table_name(&self.table)
                    .key("pk", text(&format!("request#{request}")))
                    .condition_expression("v = :v AND applicant = :person")
                    .update_expression("SET applicant = :pseudonym")
                    .expression_attribute_values(":v", number(VERSION))
                    .expression_attribute_values(":person", text(person))
                    .expression_attribute_values(":pseudonym", text(pseudonym));
                match update.send().await {
                    Ok(_) => {}
                    // The person is the owner of what it grants, and not the applicant.
                    Err(error) if is_refused(&error) => {}
                    Err(error) => {
                        return Err(LedgerError(describe("dynamodb:UpdateItem", &error)).into());
                    }
                }
                // Last: as long as it is there, the request is found again.
                Ok(self.delete_item(&old_pk).await?)
            })
        }

        fn forget_person<'a>(&'a self, key: &'a PersonKey) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                let forget = |it: PersonRecord| {
                    let left_at = it.left_at;
                    (it.drop_counted(left_at), ())
                };
                let (record, ()) = self.change_person(key, forget).await?;
                if record.left_at.is_some() {
                    return Ok(());
                }
                // One that counts again meanwhile stays.
                let empty = serde_json::to_string(&PersonRecord::default())
                    .map_err(|_| unreadable(PersonRecord::ATTRIBUTE))?;
                let deleted = self
                    .client
                    .delete_item()
                    .table_name(&self.table)
                    .key("pk", text(&person_pk(key)))
                    .condition_expression("v = :v AND #record = :empty")
                    .expression_attribute_names("#record", PersonRecord::ATTRIBUTE)
                    .expression_attribute_values(":v", number(VERSION))
                    .expression_attribute_values(":empty", text(&empty))
                    .send()
                    .await;
                let is_other =
                    |error: &DeleteItemError| error.is_conditional_check_failed_exception();
                match deleted {
                    Ok(_) => Ok(()),
                    Err(error) if error.as_service_error().is_some_and(is_other) => Ok(()),
                    Err(error) => Err(LedgerError(describe("dynamodb:DeleteItem", &error)).into()),
                }
            })
        }
    }

    impl DynamoLedger {
        async fn delete_item(&self, pk: &str) -> Result<(), LedgerError> {
            let delete = self.client.delete_item().table_name(&self.table).key("pk", text(pk));
            let of_this_version = "attribute_not_exists(pk) OR v = :v";
            let delete = delete
                .condition_expression(of_this_version)
                .expression_attribute_values(":v", number(VERSION));
            let deleted = delete.send().await;
            deleted.map_err(|error| LedgerError(describe("dynamodb:DeleteItem", &error)))?;
            Ok(())
        }
    }
}
