{{/*
The one shape of a pod.

candlecast.pod: template (metadata and spec) of every pod but Postgres's.
  root       $
  component  its name: label, service account, container
  values     its part of the values: image, resources, pod, extraEnv
  command    list
  api        true: reads the API's secret
  database   the database user it is (`serve`, `owner`): gets the database's address and waits for the schema
  wait       false: gets the URL, waits for nothing (the migration itself)
  config     false: no settings (the migration must not change its name with them)
  token      true: the service account's token is mounted (dispatcher)
  replay     true: the replay's files are mounted, where there are any
  env        list of variables of this component
  container  YAML added to the container: ports, probes, lifecycle
  spec       YAML added to the pod's spec
  spread     list of topologySpreadConstraints where the values give none
  init       YAML of init containers that come first
*/}}

{{- define "candlecast.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Variables by name, the later one wins: a name given twice is refused by server-side apply. */}}
{{- define "candlecast.env" -}}
{{- $names := list -}}
{{- $byName := dict -}}
{{- range . -}}
{{- if not (hasKey $byName .name) -}}{{- $names = append $names .name -}}{{- end -}}
{{- $_ := set $byName .name . -}}
{{- end -}}
{{- $env := list -}}
{{- range $names -}}{{- $env = append $env (get $byName .) -}}{{- end -}}
{{- if $env -}}{{- toYaml $env -}}{{- end -}}
{{- end -}}

{{/* JSON list: the database's variables for one user: (dict "root" $ "role" "serve"); the owner is the URL's own user. */}}
{{- define "candlecast.databaseEnv" -}}
{{- $database := .root.Values.database -}}
{{- $external := $database.external -}}
{{- $secret := include "candlecast.databaseSecret" .root -}}
{{- $own := or (eq $database.mode "trial") (not $external.existingSecret) -}}
{{- $parts := and (not $own) $external.keys.host -}}
{{- $env := list -}}
{{- if $parts -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "DATABASE_HOST" "secret" $secret "key" $external.keys.host) | fromJson) -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "DATABASE_NAME" "secret" $secret "key" $external.keys.name) | fromJson) -}}
{{- with $external.keys.port -}}{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "DATABASE_PORT" "secret" $secret "key" .) | fromJson) -}}{{- end -}}
{{- $env = append $env (dict "name" "CANDLECAST_DATABASE_URL" "value" (printf "postgresql://$(DATABASE_HOST):%s/$(DATABASE_NAME)" (ternary "$(DATABASE_PORT)" "5432" (ne $external.keys.port "")))) -}}
{{- else -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "CANDLECAST_DATABASE_URL" "secret" $secret "key" (ternary "url" $external.urlKey $own)) | fromJson) -}}
{{- end -}}
{{- $direct := ternary (ternary "direct-url" "" (or (eq $database.mode "trial") (ne $external.directUrl ""))) $external.directUrlKey $own -}}
{{- with $direct -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "CANDLECAST_DATABASE_DIRECT_URL" "secret" $secret "key" .) | fromJson) -}}
{{- end -}}
{{- if and (ne .role "owner") (ne $database.roles.mode "none") -}}
{{- $env = append $env (dict "name" "CANDLECAST_DATABASE_USER" "value" (printf "%s_%s" (include "candlecast.rolesPrefix" .root) .role)) -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "CANDLECAST_DATABASE_PASSWORD" "secret" (include "candlecast.rolesSecret" .root) "key" .role) | fromJson) -}}
{{- else if $parts -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "CANDLECAST_DATABASE_USER" "secret" $secret "key" $external.keys.user) | fromJson) -}}
{{- $env = append $env (include "candlecast.secretEnv" (dict "name" "CANDLECAST_DATABASE_PASSWORD" "secret" $secret "key" $external.keys.password) | fromJson) -}}
{{- end -}}
{{- if eq $database.mode "external" -}}
{{- with $external.sslMode -}}{{- $env = append $env (dict "name" "PGSSLMODE" "value" .) -}}{{- end -}}
{{- if $external.caSecret -}}{{- $env = append $env (dict "name" "PGSSLROOTCERT" "value" "/etc/candlecast/database/ca.crt") -}}{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* A variable from a secret, as JSON: (dict "name" "TOKEN" "secret" "api" "key" "token") */}}
{{- define "candlecast.secretEnv" -}}
{{- dict "name" .name "valueFrom" (dict "secretKeyRef" (dict "name" .secret "key" .key)) | toJson -}}
{{- end -}}

{{/* What a changed database means for a pod, without the generated password. */}}
{{- define "candlecast.databaseChecksum" -}}
{{- list .Values.database.mode .Values.database.external .Values.database.roles (omit .Values.database.trial "image" "resources" "pod" "storage" "storageClassName") | toJson | sha256sum | trunc 16 -}}
{{- end -}}

{{- define "candlecast.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $pod := merge (deepCopy ($values.pod | default dict)) (deepCopy $root.Values.pods) -}}
{{- $config := ne (.config | toString) "false" -}}
{{- $wait := and .database (ne (.wait | toString) "false") -}}
{{- $ca := and .database (eq $root.Values.database.mode "external") $root.Values.database.external.caSecret -}}
{{- $replay := and .replay (or $root.Values.replay.image.repository $root.Values.replay.existingClaim) -}}
{{- $env := .env | default list -}}
{{- $databaseEnv := list -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- $volumes := list (dict "name" "tmp" "emptyDir" dict) -}}
{{- if .database -}}
{{- $databaseEnv = include "candlecast.databaseEnv" (dict "root" $root "role" .database) | fromJsonArray -}}
{{- $env = concat $databaseEnv $env -}}
{{- end -}}
{{- if $ca -}}
{{- $mounts = append $mounts (dict "name" "database-ca" "mountPath" "/etc/candlecast/database" "readOnly" true) -}}
{{- $items := list (dict "key" $root.Values.database.external.caKey "path" "ca.crt") -}}
{{- $volumes = append $volumes (dict "name" "database-ca" "secret" (dict "secretName" $root.Values.database.external.caSecret "items" $items)) -}}
{{- end -}}
{{- $firstMounts := $mounts -}}
{{- if $replay -}}
{{- $env = append $env (dict "name" "CANDLECAST_REPLAY_DIR" "value" "/replay") -}}
{{- $mounts = append $mounts (dict "name" "replay" "mountPath" "/replay" "readOnly" true) -}}
{{- if $root.Values.replay.existingClaim -}}
{{- $volumes = append $volumes (dict "name" "replay" "persistentVolumeClaim" (dict "claimName" $root.Values.replay.existingClaim "readOnly" true)) -}}
{{- else -}}
{{- $volumes = append $volumes (dict "name" "replay" "emptyDir" dict) -}}
{{- end -}}
{{- end -}}
{{- $mounts = concat $mounts $pod.extraVolumeMounts -}}
{{- $volumes = concat $volumes $pod.extraVolumes -}}
metadata:
  labels:
    {{- merge (include "candlecast.selector" . | fromYaml) (deepCopy $pod.labels) | toYaml | nindent 4 }}
  {{- $annotations := deepCopy $pod.annotations }}
  {{- if $config }}{{ $_ := set $annotations "checksum/config" (include "candlecast.configOf" . | sha256sum | trunc 16) }}{{ end }}
  {{- if .api }}{{ $_ := set $annotations "checksum/api" ($root.Values.api | toJson | sha256sum | trunc 16) }}{{ end }}
  {{- if .database }}{{ $_ := set $annotations "checksum/database" (include "candlecast.databaseChecksum" $root) }}{{ end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "candlecast.name" . }}
  automountServiceAccountToken: {{ .token | default false }}
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  {{- with .spec }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- with concat $root.Values.global.imagePullSecrets $root.Values.image.pullSecrets $pod.imagePullSecrets | uniq }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $pod.topologySpreadConstraints | default .spread }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $pod.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or .init $wait (and $replay (not $root.Values.replay.existingClaim)) }}
  initContainers:
    {{- with .init }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- if and $replay (not $root.Values.replay.existingClaim) }}
    - name: replay
      image: {{ include "candlecast.image" (dict "root" $root "image" $root.Values.replay.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [/bin/cp, -r, /data/., /replay/]
      resources: {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 128Mi}}
      securityContext: {{- include "candlecast.securityContext" $root | nindent 8 }}
      volumeMounts:
        - {name: replay, mountPath: /replay}
    {{- end }}
    {{- if $wait }}
    - name: wait
      image: {{ include "candlecast.image" (dict "root" $root "image" $values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [python, -m, candlecast.store, wait, --timeout, {{ $root.Values.migrations.waitSeconds | quote }}]
      resources: {requests: {cpu: 20m, memory: 64Mi}, limits: {memory: 256Mi}}
      env:
        {{- include "candlecast.env" (concat $databaseEnv ($values.extraEnv | default list)) | nindent 8 }}
      securityContext: {{- include "candlecast.securityContext" $root | nindent 8 }}
      volumeMounts: {{- toYaml $firstMounts | nindent 8 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "candlecast.image" (dict "root" $root "image" $values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: {{ toJson .command }}
      {{- if $config }}
      envFrom:
        - configMapRef: {name: {{ include "candlecast.name" (dict "root" $root "component" "settings") }}}
      {{- end }}
      {{- with include "candlecast.env" (concat $env ($values.extraEnv | default list)) }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      securityContext: {{- include "candlecast.securityContext" $root | nindent 8 }}
      {{- with .container }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      volumeMounts: {{- toYaml $mounts | nindent 8 }}
  volumes: {{- toYaml $volumes | nindent 4 }}
{{- end -}}

{{/* HTTP probe of the container's port http: (dict "path" "/livez" "period" 5 "failures" 3) */}}
{{- define "candlecast.probe" -}}
httpGet: {path: {{ .path }}, port: {{ .port | default "http" }}}
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end -}}

{{/*
What a changed setting means for a component: the settings but those that only others read, so that a pod restarts for
its own alone. tests/deploy holds this table against the code.
*/}}
{{- define "candlecast.configOf" -}}
{{- $others := dict "UI_" "ui" "EXPORTER_" "exporter" "RETENTION_" "retention" "TRAIN_" "training" "VENUE_" "ingestion" "SERVICE_" "service" -}}
{{- $component := .component -}}
{{- range $line := splitList "\n" (include "candlecast.config" .root) -}}
{{- $own := true -}}
{{- range $prefix, $reader := $others -}}
{{- if and (hasPrefix (printf "CANDLECAST_%s" $prefix) $line) (ne $reader $component) -}}{{- $own = false -}}{{- end -}}
{{- end -}}
{{- if and (eq $component "ui") (not (hasPrefix "CANDLECAST_UI_" $line)) (not (hasPrefix "CANDLECAST_LOG_" $line)) -}}{{- $own = false -}}{{- end -}}
{{- if $own }}
{{ $line }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings as variables, one `CANDLECAST_NAME: "value"` per line. */}}
{{- define "candlecast.config" -}}
{{- $settings := merge (deepCopy .Values.settings) (dict "log_level" "INFO") -}}
{{- range $name, $value := $settings -}}
{{- $text := $value | toString -}}
{{- if kindIs "slice" $value -}}{{- $text = join "," $value -}}{{- end -}}
{{- if kindIs "float64" $value -}}{{- $text = $value | toJson -}}{{- end }}
CANDLECAST_{{ upper $name }}: {{ $text | quote }}
{{- end -}}
{{- end -}}
