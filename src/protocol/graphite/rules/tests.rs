//! Templates against the examples of their specification, and what a configuration may not say.

use super::*;

fn rules(templates: &[&str]) -> Rules {
    rules_with(".", &[], templates).unwrap()
}

fn rules_with(separator: &str, tags: &[&str], templates: &[&str]) -> Result<Rules, String> {
    let own = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Rules::new(separator, &own(tags), &own(templates))
}

fn shown(rules: &Rules, path: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match rules.apply(path.as_bytes()) {
        Ok(made) => {
            let tags: String = made
                .tags
                .iter()
                .map(|(name, value)| format!(",{}={}", text(name), text(value)))
                .collect();
            format!("{}{tags} {}", text(&made.measurement), text(&made.field))
        }
        Err(why) => why.name().to_owned(),
    }
}

#[test]
fn the_examples_of_the_specification() {
    let cases = [
        ("measurement*", "servers.web01.cpu.load", "servers.web01.cpu.load value"),
        (
            ".host.resource.measurement*",
            "servers.web01.cpu.load.10",
            "load.10,host=web01,resource=cpu value",
        ),
        (
            ".host.host.measurement.cpu.measurement",
            "servers.web01.local.cpu.cpu0.user",
            "cpu.user,cpu=cpu0,host=web01.local value",
        ),
        (
            ".host.measurement* region=us-west,zone=1a",
            "servers.web01.load",
            "load,host=web01,region=us-west,zone=1a value",
        ),
        (
            "sensu.metric.* ..measurement.host.interface.field",
            "sensu.metric.net.server0.eth0.rx_bytes",
            "net,host=server0,interface=eth0 rx_bytes",
        ),
        (
            "env.zone.host.measurement.measurement.field*",
            "prod.eu.web01.cpu.util.idle.percent",
            "cpu.util,env=prod,host=web01,zone=eu idle.percent",
        ),
        ("measurement.A.B.C", "foo", "foo value"),
        ("measurement", "foo.cpu", "foo value"),
        (".host.measurement*", "servers.web01", "servers.web01,host=web01 value"),
        (".zone..measurement*", "x.us-west.y.cpu.load", "cpu.load,zone=us-west value"),
        (".host.measurement* host=deflt", "servers.web.load", "load,host=deflt.web value"),
        ("measurement.host.field", "a..b", "a b"),
        ("measurement.host.field", "a.h.", "a,host=h value"),
        ("measurement.measurement", ".b", ".b value"),
        ("measurement", ".b", ".b value"),
        ("measurement.field", "a.time", "bad_field"),
    ];
    for (template, path, expected) in cases {
        assert_eq!(shown(&rules(&[template]), path), expected, "{template}: {path}");
    }
    assert_eq!(shown(&Rules::default(), "a..b."), "a..b. value");
}

#[test]
fn the_separator_joins_and_the_dot_splits() {
    let rules = rules_with("_", &[], &[".host.host.measurement.cpu.measurement"]).unwrap();
    assert_eq!(
        shown(&rules, "servers.web01.local.cpu.cpu0.user"),
        "cpu_user,cpu=cpu0,host=web01_local value"
    );
    let rest = rules_with("_", &[], &["host.measurement*", "f host.measurement.field*"]).unwrap();
    assert_eq!(shown(&rest, "h.a.b.c"), "a_b_c,host=h value");
    assert_eq!(shown(&rest, "f.a.b.c"), "a,host=f b_c");
    assert_eq!(shown(&rules_with("", &[], &["x measurement*"]).unwrap(), "x.y"), "x.y value");
}

#[test]
fn tags_of_the_path_win_over_the_template_and_these_over_global_ones() {
    let rules =
        rules_with(".", &["src=gr", "dc=x"], &["t.* .measurement.dc", "u.* .measurement src=t"])
            .unwrap();
    let cases = [
        ("m", "m,dc=x,src=gr value"),
        ("t.m.eu", "m,dc=eu,src=gr value"),
        ("t.m.eu;dc=us", "m,dc=us,src=gr value"),
        ("u.m", "m,dc=x,src=t value"),
        ("m;b=2;a=1;b=3", "m,a=1,b=3,dc=x,src=gr value"),
        ("m;url=/a.b?c=d;name=n", "m,dc=x,name=n,src=gr,url=/a.b?c=d value"),
        ("m;v=~x", "m,dc=x,src=gr,v=~x value"),
        (";a=1", "empty_path"),
        ("m;", "tag_format"),
        ("m;a", "tag_format"),
        ("m;=1", "tag_name_empty"),
        ("m;a=", "tag_value_empty"),
        ("m;a=1;", "tag_format"),
    ];
    for (path, expected) in cases {
        assert_eq!(shown(&rules, path), expected, "{path}");
    }
}

#[test]
fn the_line_without_a_filter_is_for_all_others() {
    let rules = rules(&["a.* .measurement", "host.measurement"]);
    let explained = "a.b;t=v\n  template     a.* .measurement\n  measurement  b\n  tags         t=v\n  \
                     field        value";
    assert_eq!(rules.explain("a.b;t=v").unwrap(), explained);
    assert!(rules.explain("b.b").unwrap().contains("template     host.measurement\n"));
    assert_eq!(shown(&rules, "b.c"), "c,host=b value");
    assert!(Rules::default().explain("b").unwrap().contains("template     (none)\n"));
}

#[test]
fn what_a_configuration_may_not_say() {
    let cases: [(&[&str], &str); 11] = [
        (&["measurement", " "], "missing template at position: 1"),
        (&["a b c d"], "invalid template format: 'a b c d'"),
        (&["a b=c d"], "invalid template format: 'a b=c d'"),
        (&["a.* host.field"], "no measurement in template `host.field`"),
        (
            &["a measurement", "b measurement", "a measurement"],
            "duplicate filter 'a' found at position: 2",
        ),
        (&["measurement", "measurement*"], "duplicate filter '' found at position: 1"),
        (&["a..b measurement"], "filter contains blank section: a..b"),
        (&["a.b* measurement"], "invalid filter wildcard section: b*"),
        (&["measurement a=b,c"], "invalid template tags: 'c'"),
        (
            &["measurement.field.field"],
            "'field' can only be used once in each template: \"measurement.field.field\"",
        ),
        (
            &["measurement*.host"],
            "nothing can follow 'measurement*' or 'field*' in a template: \"measurement*.host\"",
        ),
    ];
    for (templates, expected) in cases {
        assert_eq!(rules_with(".", &[], templates).unwrap_err(), expected, "{templates:?}");
    }
    let both = rules_with(".", &[], &["measurement*.field*"]).unwrap_err();
    assert!(both.starts_with("either 'field*' or 'measurement*' can be used in each"), "{both}");
    assert_eq!(rules_with(".", &["a=b=c"], &[]).unwrap_err(), "invalid template tags: 'a=b=c'");
}
