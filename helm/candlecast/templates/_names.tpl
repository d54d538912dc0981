{{/*
Names and labels.

candlecast.fullname     what every object's name starts with: at most 36 characters, because a Job made by hand adds
                        "-ingestion-manual-<number>" and a pod's name adds more
candlecast.name         name of one component: (dict "root" $ "component" "service")
candlecast.policyName   name of a cluster-wide object: that with the namespace in front, and a hash that tells namespace a,
                        release b-c from namespace a-b, release c
candlecast.labels       labels of an object, candlecast.selector the ones that select its pods
candlecast.image        reference of an image: (dict "root" $ "image" .Values.service.image); a digest wins over a tag
*/}}

{{- define "candlecast.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-candlecast" .Release.Name) (contains "candlecast" .Release.Name)) -}}
{{- if gt (len $name) 36 -}}
{{- printf "%s-%s" (trunc 27 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "candlecast.name" -}}
{{- printf "%s-%s" (include "candlecast.fullname" .root) .component -}}
{{- end -}}

{{- define "candlecast.policyName" -}}
{{- $release := printf "%s/%s" .root.Release.Namespace .root.Release.Name -}}
{{- printf "%s-%s-%s-%s" .root.Release.Namespace (include "candlecast.fullname" .root) (sha256sum $release | trunc 8) .component -}}
{{- end -}}

{{- define "candlecast.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | toString | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "candlecast.selector" . }}
{{- end -}}

{{- define "candlecast.selector" -}}
app.kubernetes.io/name: candlecast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "candlecast.metadata" -}}
name: {{ include "candlecast.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "candlecast.labels" . | nindent 2 }}
{{- end -}}

{{- define "candlecast.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry | default .root.Values.image.registry -}}
{{- $tag := .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion | toString -}}
{{- $name := printf "%s%s" (ternary (printf "%s/" $registry) "" (ne $registry "")) .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}

{{- define "candlecast.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}

{{/* The token pairs, the URL and what else is secret live in these two. */}}
{{- define "candlecast.databaseSecret" -}}
{{- with .Values.database -}}
{{- if and (eq .mode "external") .external.existingSecret -}}
{{- .external.existingSecret -}}
{{- else if and (eq .mode "trial") .trial.existingSecret -}}
{{- .trial.existingSecret -}}
{{- else -}}
{{- include "candlecast.name" (dict "root" $ "component" "database") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "candlecast.rolesSecret" -}}
{{- .Values.database.roles.existingSecret | default (include "candlecast.name" (dict "root" . "component" "database-roles")) -}}
{{- end -}}

{{/* What the names of the database users begin with: users belong to the server, which other releases may share. */}}
{{- define "candlecast.rolesPrefix" -}}
{{- .Values.database.roles.prefix | default (include "candlecast.fullname" . | replace "-" "_") -}}
{{- end -}}

{{- define "candlecast.apiSecret" -}}
{{- .Values.api.existingSecret | default (include "candlecast.name" (dict "root" . "component" "api")) -}}
{{- end -}}
