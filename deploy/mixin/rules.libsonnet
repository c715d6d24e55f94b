{
  local bundle = std.parseYaml(importstr '../../rules/spillway.rules.yml'),
  local records(group) = [rule for rule in group.rules if std.objectHas(rule, 'record')],

  // The groups of recording rules get names of their own, so that both can be loaded from one file.
  prometheusRules+:: {
    groups+: [
      group { name: group.name + '.rules', rules: records(group) }
      for group in bundle.groups
      if std.length(records(group)) > 0
    ],
  },
}
