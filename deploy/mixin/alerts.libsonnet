{
  local labels = $._config.alertLabels,
  local bundle = std.parseYaml(importstr '../../rules/spillway.rules.yml'),

  prometheusAlerts+:: {
    groups+: [
      group { rules: [rule { labels: labels + super.labels } for rule in group.rules if std.objectHas(rule, 'alert')] }
      for group in bundle.groups
    ],
  },
}
