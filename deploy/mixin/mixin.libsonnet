// The rules and dashboards of Spillway as a Prometheus mixin (https://monitoring.mixins.dev). Both
// are imported from where the exporter embeds them, so they are the same bytes.
(import 'config.libsonnet') +
(import 'alerts.libsonnet') +
(import 'rules.libsonnet') +
(import 'dashboards.libsonnet')
