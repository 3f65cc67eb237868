//! Objects that are written as such. Serde also reads an array as a structure, its items in the order of the fields; the
//! document tells of objects alone, so `[]` is refused and never taken for an object that says nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// An object, or null.
pub(crate) fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    value.deserialize_any(OrNull(PhantomData))
}

/// An object.
pub(crate) fn only<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    value.deserialize_map(Only(PhantomData)).map(Some)
}

struct OrNull<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNull<T> {
    type Value = Option<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        Only(PhantomData).visit_map(fields).map(Some)
    }
}

struct Only<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

#[cfg(test)]
mod tests {
    use crate::{ChangeVm, CreateExec, CreateVm};

    fn fault<T: serde::de::DeserializeOwned>(body: &str) -> Option<String> {
        serde_json::from_str::<T>(body)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn an_array_is_no_object() {
        let refused = [
            fault::<CreateVm>(r#"{"name":"a","image":"b","service":[]}"#),
            fault::<CreateVm>(r#"{"name":"a","image":"b","registry_auth":["fred","secret"]}"#),
            fault::<ChangeVm>(r#"{"service":[]}"#),
            fault::<CreateExec>(r#"{"command":["sh"],"terminal":[80,24,null]}"#),
        ];
        for fault in refused {
            let fault = fault.unwrap();
            assert!(
                fault.contains("invalid type: sequence, expected an object"),
                "{fault}"
            );
        }
        for body in [
            r#"{"name":"a","image":"b","service":{}}"#,
            r#"{"name":"a","image":"b","service":null}"#,
        ] {
            assert_eq!(fault::<CreateVm>(body), None);
        }
        assert!(fault::<ChangeVm>(r#"{"service":null}"#).is_some());
    }
}
