//! The table of paths under `/api/v1` and how a path is found in it.
//!
//! A `{}` in a pattern stands for one part of the path, whatever it is. The table is short and its
//! busiest paths come first, so it is searched from the top; nothing is allocated but the variable
//! parts.

use hyper::Method;
use percent_encoding::percent_decode_str;

/// What answers a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    Datapoints,
    Query,
    QueryTags,
    Delete,
    Metric,
    MetricNames,
    TagNames,
    TagValues,
    Features,
    Metadata,
    MetadataList,
    Rollups,
    Rollup,
    RollupStatus,
    Backfill,
    Version,
    HealthCheck,
    HealthStatus,
    RunningQueries,
    KillQuery,
    ScheduledJobs,
}

/// A line of the table.
pub struct Route {
    /// Without the prefix.
    pub pattern: &'static str,
    pub methods: &'static [Method],
    pub handler: Handler,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const TEXT: &[Method] = &[Method::GET, Method::POST, Method::DELETE];
const TASK: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];
const BOTH: &[Method] = &[Method::GET, Method::POST];

const ROUTES: &[Route] = &[
    Route { pattern: "datapoints", methods: POST, handler: Handler::Datapoints },
    Route { pattern: "datapoints/query", methods: BOTH, handler: Handler::Query },
    Route { pattern: "datapoints/query/tags", methods: POST, handler: Handler::QueryTags },
    Route { pattern: "datapoints/delete", methods: POST, handler: Handler::Delete },
    Route { pattern: "metric/{}", methods: DELETE, handler: Handler::Metric },
    Route { pattern: "metricnames", methods: GET, handler: Handler::MetricNames },
    Route { pattern: "tagnames", methods: GET, handler: Handler::TagNames },
    Route { pattern: "tagvalues", methods: GET, handler: Handler::TagValues },
    Route { pattern: "features", methods: GET, handler: Handler::Features },
    Route { pattern: "features/{}", methods: GET, handler: Handler::Features },
    Route { pattern: "metadata/{}/{}/{}", methods: TEXT, handler: Handler::Metadata },
    Route { pattern: "metadata/{}/{}", methods: GET, handler: Handler::MetadataList },
    Route { pattern: "metadata/{}", methods: GET, handler: Handler::MetadataList },
    Route { pattern: "rollups", methods: BOTH, handler: Handler::Rollups },
    Route { pattern: "rollups/{}", methods: TASK, handler: Handler::Rollup },
    Route { pattern: "rollups/status/{}", methods: GET, handler: Handler::RollupStatus },
    Route { pattern: "rollups/backfill/{}", methods: GET, handler: Handler::Backfill },
    Route { pattern: "version", methods: GET, handler: Handler::Version },
    Route { pattern: "health/check", methods: GET, handler: Handler::HealthCheck },
    Route { pattern: "health/status", methods: GET, handler: Handler::HealthStatus },
    Route { pattern: "admin/runningqueries", methods: GET, handler: Handler::RunningQueries },
    Route { pattern: "admin/killquery/{}", methods: GET, handler: Handler::KillQuery },
    Route { pattern: "admin/scheduledjobs", methods: GET, handler: Handler::ScheduledJobs },
];

impl Route {
    /// Whether the path may be asked so; who may GET may ask for the HEAD alone.
    pub fn takes(&self, method: &Method) -> bool {
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(wanted)
    }

    fn matches(&self, path: &str) -> bool {
        let mut parts = path.split('/');
        let mut wanted = self.pattern.split('/');
        loop {
            match (wanted.next(), parts.next()) {
                (None, None) => return true,
                (Some("{}"), Some(part)) if !part.is_empty() => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }
}

/// The whole table.
pub fn all() -> &'static [Route] {
    ROUTES
}

/// The route of a path without its prefix, and the path's variable parts. One slash at the end
/// counts for nothing.
pub fn find(path: &str) -> Option<(&'static Route, Vec<String>)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let route = ROUTES.iter().find(|route| route.matches(path))?;
    let parts = path.split('/').zip(route.pattern.split('/'));
    let variable = parts.filter(|(_, wanted)| *wanted == "{}");
    let plain = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some((route, variable.map(|(part, _)| plain(part)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_counts_for_nothing() {
        let found = |path| find(path).map(|(route, _)| route.handler);
        assert_eq!(found("datapoints/query/"), Some(Handler::Query));
        assert_eq!(found("datapoints/query/tags"), Some(Handler::QueryTags));
        assert_eq!(found("datapoints//query"), None);
        assert_eq!(found("datapoint"), None);
        let (route, args) = find("metric/a%2Fb%20c").unwrap();
        assert_eq!(
            (route.handler, args.as_slice()),
            (Handler::Metric, ["a/b c".to_owned()].as_slice())
        );
    }

    #[test]
    fn variable_parts_are_never_empty() {
        let route = Route { pattern: "metric/{}", methods: GET, handler: Handler::Version };
        assert!(route.matches("metric/a%2Fb") && !route.matches("metric/"));
        assert!(!route.matches("metric") && !route.matches("metric/a/b"));
    }
}
