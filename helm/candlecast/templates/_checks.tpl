{{/* What the schema cannot say. Included once, from the settings. */}}
{{- define "candlecast.checks" -}}
{{- with .Values.database -}}
{{- if and (eq .mode "external") (not .external.url) (not .external.existingSecret) -}}
{{- fail "say where Postgres is: database.external.existingSecret (or .url), or try candlecast with database.mode=trial" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.dispatcher.mode "kubernetes") (not .Values.dispatcher.admissionPolicy.create) (not .Values.dispatcher.acceptUnguarded) -}}
{{- fail "without its admission policies the dispatcher could run any pod in this namespace: let the chart create them (dispatcher.admissionPolicy.create), have your administrator apply them and set dispatcher.acceptUnguarded, or set dispatcher.mode=none" -}}
{{- end -}}
{{- if and (eq .Values.service.autoscaling.mode "hpa") (not (dig "requests" "cpu" "" .Values.service.resources)) -}}
{{- fail "service.autoscaling.mode=hpa scales by the share of the requested processor time: set service.resources.requests.cpu, or autoscaling.mode=none" -}}
{{- end -}}
{{- end -}}
