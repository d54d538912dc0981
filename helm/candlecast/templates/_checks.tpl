{{/* What the schema cannot say. Included once, from the settings. */}}
{{- define "candlecast.checks" -}}
{{- with .Values.database -}}
{{- if and (eq .roles.mode "existing") (not .roles.existingSecret) -}}
{{- fail "say where the passwords of the database users are: database.roles.existingSecret, or let the migration make them with database.roles.mode=create" -}}
{{- end -}}
{{- if and (eq .mode "external") (not .external.url) (not .external.existingSecret) -}}
{{- fail "say where Postgres is: database.external.existingSecret (or .url), or try candlecast with database.mode=trial" -}}
{{- end -}}
{{- if and (eq .mode "external") .external.caSecret (not .external.sslMode) -}}
{{- fail "a certificate authority alone makes nobody check the certificate: set database.external.sslMode=verify-full, or leave out database.external.caSecret" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.dispatcher.mode "kubernetes") (not .Values.dispatcher.admissionPolicy.create) (not .Values.dispatcher.acceptUnguarded) -}}
{{- fail "without its admission policies the dispatcher could run any pod in this namespace: let the chart create them (dispatcher.admissionPolicy.create), have your administrator apply them and set dispatcher.acceptUnguarded, or set dispatcher.mode=none" -}}
{{- end -}}
{{- if and (ne .Values.service.autoscaling.mode "none") (not (dig "requests" "cpu" "" .Values.service.resources)) -}}
{{- fail "service.autoscaling scales by the share of the requested processor time: set service.resources.requests.cpu, or autoscaling.mode=none" -}}
{{- end -}}
{{- if and .Values.settings.protect_reading .Values.ui.enabled (not .Values.ui.holdsToken) -}}
{{- fail "with settings.protect_reading the screen reads with a token of its own: set ui.holdsToken=true, and CANDLECAST_UI_PASSWORD in ui.extraEnv so that not everybody sees it, or leave the screen out with ui.enabled=false" -}}
{{- end -}}
{{- range $component := list "service" "ui" -}}
{{- $route := (index $.Values $component).route -}}
{{- if and $route.enabled (not $route.parentRefs) -}}
{{- fail (printf "name the Gateway that the route attaches to: %s.route.parentRefs" $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
