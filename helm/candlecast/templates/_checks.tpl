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
{{- with .Values.service.autoscaling -}}
{{- if and (ne .mode "none") (lt (int .maxReplicas) (int .minReplicas)) -}}
{{- fail (printf "service.autoscaling.maxReplicas (%v) is below minReplicas (%v): raise it, or lower the other" .maxReplicas .minReplicas) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^[0-9]|[.]" (include "candlecast.fullname" .) -}}
{{- fail (printf "%q is no name of a Service, which begins with a letter and has no dot: set fullnameOverride" (include "candlecast.fullname" .)) -}}
{{- end -}}
{{- include "candlecast.checkWaysIn" . -}}
{{- include "candlecast.checkOverrides" . -}}
{{- end -}}

{{- define "candlecast.checkWaysIn" -}}
{{- range $component := list "service" "ui" -}}
{{- with index $.Values $component -}}
{{- if and .route.enabled (not .route.parentRefs) -}}
{{- fail (printf "name the Gateway that the route attaches to: %s.route.parentRefs" $component) -}}
{{- end -}}
{{- if and .ingress.enabled .ingress.tlsSecret (not .ingress.host) -}}
{{- fail (printf "a certificate is for a host: set %s.ingress.host, or leave out %s.ingress.tlsSecret" $component $component) -}}
{{- end -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}
{{- fail (printf "a Service of type ClusterIP has no port on the nodes: set %s.type=NodePort, or leave out %s.nodePort" $component $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $service := .Values.service -}}
{{- $ui := .Values.ui -}}
{{- if and $ui.enabled (eq (trimSuffix "/" $service.path) (trimSuffix "/" $ui.path)) -}}
{{- if and $service.ingress.enabled $ui.ingress.enabled (eq (toJson (pick $service.ingress "host" "className")) (toJson (pick $ui.ingress "host" "className"))) -}}
{{- fail "API and screen cannot both have one path of one host: set service.path=/api, or another host in service.ingress.host or ui.ingress.host" -}}
{{- end -}}
{{- if and $service.route.enabled $ui.route.enabled (eq (toJson (pick $service.route "hostnames" "parentRefs")) (toJson (pick $ui.route "hostnames" "parentRefs"))) -}}
{{- fail "API and screen cannot both have one path of one host: set service.path=/api, or other host names in service.route.hostnames or ui.route.hostnames" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "candlecast.checkOverrides" -}}
{{- $alerts := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- range ($.Files.Get $path | fromYaml).groups -}}
{{- range .rules -}}{{- with .alert -}}{{- $alerts = append $alerts . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $alert, $_ := .Values.rules.overrides -}}
{{- if not (has $alert $alerts) -}}
{{- fail (printf "rules.overrides changes %s, which is no alert; there are %s" $alert (uniq $alerts | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
