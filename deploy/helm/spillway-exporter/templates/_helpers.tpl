{{- define "spillway-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "spillway-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "spillway-exporter.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "spillway-exporter.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "spillway-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "spillway-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "spillway-exporter.labels" -}}
{{ include "spillway-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "spillway-exporter.metadata" -}}
name: {{ include "spillway-exporter.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "spillway-exporter.labels" . | nindent 2 }}
{{- end -}}

{{- define "spillway-exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "spillway-exporter.tokenSecret" -}}
{{- if and .Values.token.existingSecret .Values.token.value -}}
{{- fail "token.existingSecret and token.value are both set: use one of them" -}}
{{- end -}}
{{- if .Values.token.existingSecret -}}
{{ .Values.token.existingSecret }}
{{- else if .Values.token.value -}}
{{ include "spillway-exporter.fullname" . }}-token
{{- end -}}
{{- end -}}

{{/* The configuration: the value config with what other values decide. */}}
{{- define "spillway-exporter.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $webhook := get $config "webhook" | default dict -}}
{{- $secret := include "spillway-exporter.tokenSecret" . -}}
{{- if hasKey $config "mode" -}}
{{- fail "config.mode is set: use the value mode" -}}
{{- end -}}
{{- if and $secret (get $webhook "token_file") -}}
{{- fail "token and config.webhook.token_file are both set: use one of them" -}}
{{- end -}}
{{- if and (eq .Values.mode "enforce") (not $secret) (not (get $webhook "token_file")) (not (regexMatch "--web\\.(config\\.file|listen-address)" (join " " .Values.extraArgs))) -}}
{{- fail "mode is enforce and there is no token: set token.existingSecret or token.value, or protect the listener by extraArgs: [--web.config.file=...]" -}}
{{- end -}}
{{- $_ := set $config "mode" .Values.mode -}}
{{- if not (hasKey $config "standalone") -}}
{{- $_ := set $config "standalone" (not .Values.prometheusRule.enabled) -}}
{{- end -}}
{{- if $secret -}}
{{- $_ := set $config "webhook" (merge (dict "token_file" "/etc/spillway-token/token") $webhook) -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}
