{{/* Ways in: Service, Ingress, Gateway API route and ServiceMonitor of a component whose container has the port http. */}}

{{- define "candlecast.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type | default "ClusterIP" }}
  selector:
    {{- include "candlecast.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .port }}, targetPort: http, appProtocol: http{{ with .nodePort }}, nodePort: {{ . }}{{ end }}}
{{- end -}}

{{- define "candlecast.ingress" -}}
{{- $ingress := .values.ingress -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
  {{- with $ingress.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $ingress.tlsSecret }}
  tls:
    - hosts: [{{ $ingress.host | quote }}]
      secretName: {{ . }}
  {{- end }}
  rules:
    - {{ if $ingress.host }}host: {{ $ingress.host | quote }}
      {{ end }}http:
        paths:
          - path: {{ .values.path }}
            pathType: Prefix
            backend: {service: {name: {{ include "candlecast.name" . }}, port: {name: http}}}
{{- end -}}

{{- define "candlecast.route" -}}
{{- $route := .values.route -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
  {{- with $route.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  parentRefs: {{- toYaml $route.parentRefs | nindent 4 }}
  {{- with $route.hostnames }}
  hostnames: {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - matches:
        - path: {type: PathPrefix, value: {{ .values.path }}}
      backendRefs:
        - {name: {{ include "candlecast.name" . }}, port: {{ .values.port }}}
{{- end -}}

{{- define "candlecast.servicemonitor" -}}
{{- $monitor := .root.Values.metrics.serviceMonitor -}}
{{- if or (eq $monitor.mode "always") (and (eq $monitor.mode "auto") (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
    {{- with $monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "candlecast.selector" . | nindent 6 }}
  endpoints:
    - port: http
      path: /metrics
      interval: {{ $monitor.interval }}
      # Rules and dashboards tell releases of one namespace apart.
      relabelings:
        - {targetLabel: release, sourceLabels: [__meta_kubernetes_service_label_app_kubernetes_io_instance]}
{{- end -}}
{{- end -}}
