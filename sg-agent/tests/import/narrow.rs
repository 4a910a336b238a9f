//! What the import must not take for "any" in silence.

use sg_agent::policy::model::{Direction, Match, PortRange, Remote, Rule};

use super::{accepted, from_text};

/// The rules of the only group in `content`, and the notes.
fn rules(name: &str, content: &str) -> (Vec<Rule>, String) {
    let (policy, notes, status) = from_text(name, content);
    assert_eq!(status, Some(0), "{notes}");
    let policy = accepted(&policy, name);
    assert_eq!(policy.groups.len(), 1, "{notes}");
    (policy.groups.into_values().next().expect("one").rules, notes)
}

fn ingress(rules: &[Rule]) -> Vec<&Rule> {
    rules.iter().filter(|rule| rule.direction == Direction::Ingress).collect()
}

fn port(number: u16) -> Match {
    Match::Ports(6, vec![PortRange { first: number, last: number }])
}

fn heat(rule: &str) -> String {
    format!(
        "x: &office {{protocol: tcp, direction: ingress, remote_ip_prefix: 10.0.0.0/8, port_range_max: 22}}\n\
         y: &other {{protocol: udp, port_range_min: 22}}\n\
         resources:\n  web: {{type: OS::Neutron::SecurityGroup, properties: {{rules: [{rule}]}}}}\n"
    )
}

#[test]
fn merge_keys_are_merged() {
    let office = Remote::Prefix("10.0.0.0/8".parse().expect("a prefix"));
    for rule in [
        "{<<: *office, port_range_min: 22}",
        "{port_range_min: 22, <<: *office}",
        "{<<: [*office, *other]}",
        "{<<: *other, protocol: tcp, <<: *office}",
    ] {
        let (rules, notes) = rules("a.yaml", &heat(rule));
        let [one] = ingress(&rules)[..] else { panic!("{rule}: {notes}") };
        assert_eq!((&one.matches, &one.remote), (&port(22), &office), "{rule}");
    }
    let (_, notes, status) = from_text("a.yaml", &heat("{<<: 7, port_range_min: 22}"));
    assert!(status == Some(1) && notes.contains("merge key"), "{notes}");
}

#[test]
fn rules_with_properties_that_are_not_read_are_dropped() {
    let (found, notes) = rules("a.yaml", &heat("{protocol: tcp, port_range_mim: 22}"));
    assert!(found.is_empty() && notes.contains("dropped: `port_range_mim`"), "{notes}");
    let template = "Resources:\n  A:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      \
        SecurityGroupEgress: []\n      SecurityGroupIngress:\n        \
        - {IpProtocol: '-1', CidrIp: 0.0.0.0/0, SourcePort: 22}\n";
    let (found, notes) = rules("a.yaml", template);
    assert!(found.is_empty() && notes.contains("dropped: `SourcePort`"), "{notes}");
}

#[test]
fn an_egress_rule_of_its_own_replaces_the_default_one() {
    for named in ["GroupId: !Ref A", "GroupId: !GetAtt A.GroupId", "GroupName: a"] {
        let template = format!(
            "Resources:\n  A: {{Type: AWS::EC2::SecurityGroup, Properties: {{GroupName: a}}}}\n  Out:\n    \
             Type: AWS::EC2::SecurityGroupEgress\n    \
             Properties: {{IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 10.0.0.0/8, {named}}}\n"
        );
        let (rules, notes) = rules("a.yaml", &template);
        let [one] = &rules[..] else { panic!("{named}: {notes}") };
        assert_eq!(one.matches, port(443), "{named}");
        assert!(notes.contains("A: changed: EC2's default egress rule is left out"), "{notes}");
    }
}

#[test]
fn a_listing_does_not_make_a_group_stateful() {
    let show = r#"{"id": "g-1", "name": "web", "description": "", "stateful": false, "rules": [
        {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}]}"#;
    let list = r#"[{"ID": "g-1", "Name": "web", "Description": "Front"}]"#;
    let folder = tempfile::TempDir::new().expect("a folder");
    let paths = [("show.json", show), ("list.json", list)].map(|(name, content)| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("writable");
        path.display().to_string()
    });
    for order in [[0, 1], [1, 0]] {
        let run = super::import(&order.map(|at| paths[at].as_str()));
        let policy = accepted(&super::text(&run.stdout), "both");
        let group = &policy.groups["web"];
        assert!(!group.stateful && group.description == "Front" && group.rules.len() == 1, "{order:?}");
    }
    let (_, notes) = rules("list.json", list);
    assert!(notes.contains("widened: the listing does not show which groups are stateless"), "{notes}");
}

#[test]
fn every_name_of_icmp_hides_its_zero() {
    for protocol in ["icmp", "1", "icmpv6", "ipv6-icmp", "icmp6", "58"] {
        let state = format!(
            r#"{{"format_version": "1.0", "values": {{"root_module": {{"resources": [
              {{"address": "openstack_networking_secgroup_v2.a", "mode": "managed", "name": "a",
               "type": "openstack_networking_secgroup_v2", "values": {{"id": "g-1", "name": "a"}}}},
              {{"address": "openstack_networking_secgroup_rule_v2.r", "mode": "managed", "name": "r",
               "type": "openstack_networking_secgroup_rule_v2", "values": {{"security_group_id": "g-1",
               "direction": "ingress", "ethertype": "{}", "protocol": "{protocol}",
               "port_range_min": 0, "port_range_max": 0}}}}]}}}}}}"#,
            if protocol.contains('6') || protocol == "58" { "IPv6" } else { "IPv4" }
        );
        let (rules, notes) = rules("state.json", &state);
        assert_eq!(ingress(&rules).len(), 1, "{protocol}");
        assert!(notes.contains("widened: the provider does not tell ICMP type 0"), "{protocol}: {notes}");
    }
}

#[test]
fn a_list_where_one_value_belongs_is_not_any() {
    for field in ["remote_ip_prefix", "protocol", "port_range_min", "remote_group_id"] {
        let show = format!(
            r#"{{"id": "g-1", "name": "a", "rules": [{{"direction": "ingress", "ethertype": "IPv4", "{field}": ["x"]}}]}}"#
        );
        let (rules, notes) = rules("show.json", &show);
        let said = format!("dropped: `{field}` is not a single value");
        assert!(rules.is_empty() && notes.contains(&said), "{field}: {notes}");
    }
    let list =
        r#"[{"ID": "r", "IP Protocol": "tcp", "IP Range": {"cidr": "10.0.0.0/8"}, "Direction": "ingress"}]"#;
    let (rules, notes) = rules("list.json", list);
    assert!(rules.is_empty() && notes.contains("dropped: `IP Range`"), "{notes}");
}

/// A plan with a group and a rule, of which `values` are known and `unknown` are not; the configuration sets `set`.
fn plan(values: &str, unknown: &str, set: &str) -> String {
    format!(
        r#"{{"format_version": "1.2", "planned_values": {{"root_module": {{"resources": [
          {{"address": "openstack_networking_secgroup_v2.a", "mode": "managed", "name": "a",
           "type": "openstack_networking_secgroup_v2", "values": {{"id": "g-1", "name": "a", "delete_default_rules": true}}}},
          {{"address": "openstack_networking_secgroup_rule_v2.r", "mode": "managed", "name": "r",
           "type": "openstack_networking_secgroup_rule_v2", "values": {{"security_group_id": "g-1",
           "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp" {values}}}}}]}}}},
         "resource_changes": [{{"address": "openstack_networking_secgroup_rule_v2.r",
          "change": {{"after_unknown": {{{unknown}}}}}}}],
         "configuration": {{"root_module": {{"resources": [{{"type": "openstack_networking_secgroup_rule_v2",
          "name": "r", "expressions": {{{set}}}}}]}}}}}}"#
    )
}

#[test]
fn what_a_plan_does_not_know_is_not_any() {
    let prefix = r#""remote_ip_prefix": {"references": ["var.office"]}"#;
    let unknown = r#""remote_ip_prefix": true"#;
    for (values, unknown) in [(r#", "remote_ip_prefix": null"#, unknown), ("", unknown), ("", "")] {
        let (rules, notes) = rules("plan.json", &plan(values, unknown, prefix));
        assert!(rules.is_empty() && notes.contains("`remote_ip_prefix` is not known yet"), "{notes}");
    }
    // What the configuration does not set the provider shows as unknown, too, and Neutron leaves empty.
    assert_eq!(rules("plan.json", &plan("", unknown, "")).0.len(), 1);
}

#[test]
fn octal_ports_are_dropped() {
    let (rules, notes) = rules("a.yaml", &heat("{protocol: tcp, port_range_min: 022, port_range_max: 022}"));
    assert!(ingress(&rules).is_empty() && notes.contains("dropped: `022`"), "{notes}");
}

#[test]
fn the_last_of_a_duplicate_key_counts() {
    let group = r#"{"GroupId": "g", "GroupName": "a", "IpPermissions": [{"IpProtocol": "-1", "IpProtocol": "tcp",
        "FromPort": 1, "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]}"#;
    let (json, _) = rules("a.json", &format!("{{\"SecurityGroups\": [{group}]}}"));
    let [one] = &json[..] else { panic!("{json:?}") };
    let office = Remote::Prefix("10.0.0.0/8".parse().expect("a prefix"));
    assert_eq!((&one.matches, &one.remote), (&port(22), &office));
    let (yaml, _) = rules("a.yaml", &heat("{protocol: udp, port_range_min: 22, protocol: tcp}"));
    assert_eq!(ingress(&yaml)[0].matches, port(22));
}

#[test]
fn many_conditions_are_found_at_once() {
    let many = 20_000;
    let conditions: String = (0..many).map(|n| format!("  C{n}: !Equals [a, a]\n")).collect();
    let rules: String = (0..many).map(|n| format!("        - !If [C{n}, !Ref AWS::NoValue, 1]\n")).collect();
    let template = format!(
        "Conditions:\n{conditions}Resources:\n  A:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      \
         SecurityGroupIngress:\n{rules}"
    );
    let (policy, notes, status) = from_text("many.yaml", &template);
    assert_eq!(status, Some(0), "{notes}");
    assert_eq!(accepted(&policy, "many").groups["A"].rules.len(), 1, "the default rule");
}
