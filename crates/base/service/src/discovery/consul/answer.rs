//! What Consul says about the instances of a service.

use serde::Deserialize;

use super::super::listing::{Listed, Listing, MAX_WEIGHT, SourceError, zone};

/// One instance, as far as Weir cares. Consul writes null for what is empty.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Option<Node>,
    service: Option<Registered>,
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: Option<String>,
    meta: Option<Meta>,
    locality: Option<Locality>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    address: Option<String>,
    port: Option<i64>,
    meta: Option<Meta>,
    weights: Option<Weights>,
    locality: Option<Locality>,
}

#[derive(Deserialize)]
struct Meta {
    zone: Option<String>,
    priority: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Locality {
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: Option<i64>,
    warning: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: Option<String>,
    status: Option<String>,
}

/// Reads an answer. `passing`: Consul has left out instances that do not pass.
pub(super) fn parse(body: &[u8], passing: bool) -> Result<Listing, SourceError> {
    let instances: Option<Vec<Instance>> = serde_json::from_slice(body).map_err(|error| {
        SourceError::Invalid(format!("the answer is not what Consul sends: {error}"))
    })?;
    let mut listing = Listing::default();
    for instance in instances.unwrap_or_default() {
        if passing || !instance.in_maintenance() {
            listing.push(instance.listed());
        }
    }
    // Consul's order is not always the same.
    listing
        .entries
        .sort_by_cached_key(|entry| entry.at.to_string());
    Ok(listing)
}

impl Instance {
    /// Somebody took it out with `consul maint`. Then it is out, whatever else is asked for.
    fn in_maintenance(&self) -> bool {
        self.checks.iter().flatten().any(|check| {
            let id = check.check_id.as_deref().unwrap_or_default();
            id == "_node_maintenance" || id.starts_with("_service_maintenance:")
        })
    }

    fn listed(self) -> Result<Listed, String> {
        let service = self.service.ok_or("an instance without `Service`")?;
        let node = self.node.as_ref();
        let own = service
            .address
            .as_deref()
            .filter(|address| !address.is_empty());
        // "If this field is empty, the address of the node is used" (Consul, catalog API, `ServiceAddress`).
        let address = own
            .or_else(|| {
                node?
                    .address
                    .as_deref()
                    .filter(|address| !address.is_empty())
            })
            .ok_or("an instance without an address")?;
        let port = service.port.unwrap_or(0);
        let at = match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        let warning = |check: &Check| check.status.as_deref() == Some("warning");
        let weights = service.weights.as_ref();
        let weight = if self.checks.iter().flatten().any(warning) {
            weights.and_then(|weights| weights.warning)
        } else {
            weights.and_then(|weights| weights.passing)
        };
        let meta = service.meta.as_ref();
        let zones = [
            meta.and_then(|meta| meta.zone.as_deref()),
            service
                .locality
                .as_ref()
                .and_then(|locality| locality.zone.as_deref()),
            node.and_then(|node| node.meta.as_ref()?.zone.as_deref()),
            node.and_then(|node| node.locality.as_ref()?.zone.as_deref()),
        ];
        Ok(Listed {
            weight: weight.unwrap_or(1).clamp(1, i64::from(MAX_WEIGHT)) as u32,
            priority: meta
                .and_then(|meta| meta.priority.as_ref()?.parse().ok())
                .unwrap_or(0),
            zone: zones.into_iter().flatten().find_map(zone),
            ..Listed::parse(&at)?
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instances_by_table() {
        let body = br#"[
            {"Node": {"Node": "n1", "Address": "10.0.0.9", "Meta": {"zone": "node-zone"}},
             "Service": {"ID": "web-1", "Address": "10.0.0.1", "Port": 80, "Weights": {"Passing": 5, "Warning": 2},
                         "Meta": {"zone": "eu-1", "priority": "1"}}, "Checks": [{"CheckID": "c", "Status": "passing"}]},
            {"Node": {"Address": "10.0.0.9", "Meta": {"zone": "node-zone"}},
             "Service": {"Address": "", "Port": 81, "Weights": {"Passing": 5, "Warning": 2}},
             "Checks": [{"CheckID": "c", "Status": "warning"}]},
            {"Node": {"Address": "::1"}, "Service": {"Port": 82, "Weights": {"Passing": -4}}, "Checks": null},
            {"Node": null, "Service": {"Address": "App.Internal", "Port": 83, "Meta": null, "Unknown": [1, {"a": 2}]}},
            {"Node": {"Address": "10.0.0.2"}, "Service": {"Port": 0}},
            {"Node": {"Address": ""}, "Service": {"Port": 80}},
            {"Node": {"Address": "bad host"}, "Service": {"Port": 80}},
            {"Service": null}
        ]"#;
        let listing = parse(body, true).unwrap();
        let entry = |entry: &Listed| {
            let zone = entry.zone.as_deref().unwrap_or("-");
            format!("{} {} {} {zone}", entry.at, entry.weight, entry.priority)
        };
        assert_eq!(
            listing.entries.iter().map(entry).collect::<Vec<_>>(),
            [
                "10.0.0.1:80 5 1 eu-1",
                "10.0.0.9:81 2 0 node-zone",
                "[::1]:82 1 0 -",
                "app.internal:83 1 0 -"
            ]
        );
        assert_eq!(listing.skipped.map(|(count, _)| count), Some(4));
        assert!(parse(b"null", true).unwrap().entries.is_empty());
        assert!(parse(b"[]", true).unwrap().entries.is_empty());
    }

    #[test]
    fn maintenance_counts_even_where_failing_checks_do_not() {
        let body = br#"[{"Node": {"Address": "10.0.0.1"}, "Service": {"Port": 80},
            "Checks": [{"CheckID": "_node_maintenance", "Status": "critical"}]}]"#;
        assert!(parse(body, false).unwrap().entries.is_empty());
        let body = br#"[{"Node": {"Address": "10.0.0.1"}, "Service": {"Port": 80},
            "Checks": [{"CheckID": "c", "Status": "critical"}]}]"#;
        assert_eq!(parse(body, false).unwrap().entries.len(), 1);
    }

    #[test]
    fn hostile_answers_are_errors() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_inside = format!(r#"[{{"Unknown": {deep}}}]"#);
        for body in [
            "",
            "{}",
            "[1]",
            "[{",
            "\"web\"",
            "[{\"Service\": 5}]",
            &deep,
        ] {
            assert!(
                matches!(parse(body.as_bytes(), true), Err(SourceError::Invalid(_))),
                "{body:.40}"
            );
        }
        // What is skipped takes no stack.
        assert!(parse(deep_inside.as_bytes(), true).is_ok());
        let long = format!(
            r#"[{{"Service": {{"Address": "{}", "Port": 80}}}}]"#,
            "x".repeat(1 << 20)
        );
        let (_, reason) = parse(long.as_bytes(), true).unwrap().skipped.unwrap();
        assert!(reason.len() < 300);
    }

    proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400) {
            let _ = parse(&body, true);
            let valid = br#"[{"Node": {"Address": "10.0.0.9"}, "Service": {"Address": "10.0.0.1", "Port": 80}}]"#;
            let mut broken = valid.to_vec();
            let at = at % broken.len();
            broken.splice(at..at, body);
            let _ = parse(&broken, false);
        }
    }
}
