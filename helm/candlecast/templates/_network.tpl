{{/*
One policy per component, both directions, nothing allowed but what is listed:
(dict "root" $ "component" "ui" "ingress" (list rule...) "egress" (list rule...)), each rule as an object.
The candlecast.to... helpers each give one egress rule as JSON. A rule whose list of peers or ports is empty is left out:
to Kubernetes it would mean everybody, or every port.
*/}}

{{- define "candlecast.networkpolicy" -}}
{{- if .root.Values.networkPolicy.enabled -}}
{{- $in := list -}}
{{- range .ingress -}}{{- if and .from .ports -}}{{- $in = append $in . -}}{{- end -}}{{- end -}}
{{- $out := list -}}
{{- range .egress -}}{{- if and .to .ports -}}{{- $out = append $out . -}}{{- end -}}{{- end -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "candlecast.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress: {{- toYaml $in | nindent 4 }}
  egress: {{- toYaml $out | nindent 4 }}
{{- end -}}
{{- end -}}

{{- define "candlecast.toDns" -}}
{{- $dns := .Values.networkPolicy.dns -}}
{{- $to := list (dict "namespaceSelector" dict "podSelector" (dict "matchLabels" $dns.podLabels)) -}}
{{- range $dns.cidrs -}}{{- $to = append $to (dict "ipBlock" (dict "cidr" .)) -}}{{- end -}}
{{- $ports := list -}}
{{- range $dns.ports -}}{{- $ports = concat $ports (list (dict "protocol" "UDP" "port" .) (dict "protocol" "TCP" "port" .)) -}}{{- end -}}
{{- dict "to" $to "ports" $ports | toJson -}}
{{- end -}}

{{- define "candlecast.toDatabase" -}}
{{- if eq .Values.database.mode "trial" -}}
{{- dict "to" (list (include "candlecast.peer" (dict "root" . "component" "database") | fromJson)) "ports" (list (dict "protocol" "TCP" "port" 5432)) | toJson -}}
{{- else -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.database.ports -}}{{- $ports = append $ports (dict "protocol" "TCP" "port" .) -}}{{- end -}}
{{- dict "to" .Values.networkPolicy.database.to "ports" $ports | toJson -}}
{{- end -}}
{{- end -}}

{{- define "candlecast.peer" -}}
{{- dict "podSelector" (dict "matchLabels" (include "candlecast.selector" . | fromYaml)) | toJson -}}
{{- end -}}

{{/* Ingress rule: from these peers to this port. (dict "from" list "port" 3000) */}}
{{- define "candlecast.from" -}}
{{- dict "from" .from "ports" (list (dict "protocol" "TCP" "port" .port)) | toJson -}}
{{- end -}}
