//! A stub of a DynamoDB table for the ledger and for the idempotency layers of the contenders:
//! conditions are true while an item is new, and false once it is done.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// Items by their key, which is one string attribute.
#[derive(Debug, Default)]
pub(crate) struct StubTable(Mutex<HashMap<String, Map<String, Value>>>);

/// A response of DynamoDB: status and body.
pub(crate) type Said = (u16, Value);

impl StubTable {
    /// Executes an operation of DynamoDB's API; `None` if the stub does not implement it.
    pub(crate) fn perform(&self, operation: &str, input: &Value) -> Option<Said> {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = match operation {
            "GetItem" => items.get(&key(&input["Key"])).map_or(json!({}), |it| json!({"Item": it})),
            "BatchWriteItem" => json!({"UnprocessedItems": {}}),
            "PutItem" => {
                let item = input["Item"].as_object()?;
                let key = key(&json!({"pk": item.get("pk").or_else(|| item.get("id"))?}));
                match items.get(&key) {
                    Some(old) if input.get("ConditionExpression").is_some() => {
                        return Some(refused(old));
                    }
                    _ => items.insert(key, item.clone()),
                };
                json!({})
            }
            "UpdateItem" => {
                let item = items.entry(key(&input["Key"])).or_default();
                let is_done = item.get("state").is_some_and(|state| state["S"] == "done");
                if is_done && input.get("ConditionExpression").is_some() {
                    return Some(refused(item));
                }
                set(item, input);
                let mut attributes = item.clone();
                // The only attributes that are incremented from zero.
                attributes.insert("attempt".to_owned(), json!({"N": "1"}));
                attributes.insert("effects".to_owned(), json!({"M": {}}));
                json!({"Attributes": attributes})
            }
            _ => return None,
        };
        Some((200, said))
    }
}

fn key(key: &Value) -> String {
    let values = key.as_object().into_iter().flat_map(Map::values);
    values.filter_map(|value| value["S"].as_str()).collect()
}

/// Applies the plain assignments of an update expression: `SET #state = :ended, ..`.
fn set(item: &mut Map<String, Value>, update: &Value) {
    let expression = update["UpdateExpression"].as_str().unwrap_or_default();
    let names = &update["ExpressionAttributeNames"];
    for part in expression.trim_start_matches("SET ").split(", ") {
        let Some((name, value)) = part.split_once(" = ") else { continue };
        let name = names[name].as_str().unwrap_or(name);
        if let Some(value) = update["ExpressionAttributeValues"].get(value) {
            item.insert(name.to_owned(), value.clone());
        }
    }
}

fn refused(old: &Map<String, Value>) -> Said {
    let error = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": old,
    });
    (400, error)
}
