{{/*
What NOTES.txt says of a release.

candlecast.outside      JSON list: where a component is reached from outside, as far as its values (.Values.ui) tell
candlecast.lendsToken   "true" where the screen can be reached from outside and starts runs for whoever comes
*/}}

{{- define "candlecast.outside" -}}
{{- $path := trimSuffix "/" .path -}}
{{- $addresses := list -}}
{{- if and .ingress.enabled .ingress.host -}}
{{- $addresses = append $addresses (printf "%s://%s%s" (ternary "https" "http" (ne .ingress.tlsSecret "")) .ingress.host $path) -}}
{{- end -}}
{{- if .route.enabled -}}
{{- range .route.hostnames -}}{{- $addresses = append $addresses (printf "%s%s" . $path) -}}{{- end -}}
{{- end -}}
{{- toJson $addresses -}}
{{- end -}}

{{- define "candlecast.lendsToken" -}}
{{- $guarded := false -}}
{{- range .Values.ui.extraEnv -}}
{{- if has .name (list "CANDLECAST_UI_PASSWORD" "CANDLECAST_UI_USER_HEADER") -}}{{- $guarded = true -}}{{- end -}}
{{- end -}}
{{- with .Values.ui -}}
{{- and .enabled .holdsToken (not $guarded) (or .ingress.enabled .route.enabled (ne .type "ClusterIP")) -}}
{{- end -}}
{{- end -}}
