{{/*
The one skeleton of a scheduled job: (dict "root" $ "component" "training" "values" .Values.training "command" (list ...) "role" "train").

Exit codes are those of candlecast/errors.py. 64, 65, 70 and 78 (usage, data, model, configuration) will not get better
by trying again; everything else counts against backoffLimit, but not a pod that the cluster itself moved away.
*/}}

{{/* Pods that share a run: one leads, which its index says, the others take part. Nothing for a single pod. */}}
{{- define "candlecast.indexed" -}}
{{- if gt (int (.values.parallelism | default 1)) 1 -}}
completionMode: Indexed
completions: {{ .values.parallelism }}
parallelism: {{ .values.parallelism }}
{{- end -}}
{{- end -}}

{{/* JSON list: what such a pod is told: (dict "job" "ingestion" "values" .Values.ingestion) */}}
{{- define "candlecast.indexedEnv" -}}
{{- $env := list -}}
{{- if gt (int (.values.parallelism | default 1)) 1 -}}
{{- $env = append $env (dict "name" (printf "CANDLECAST_%s_PARALLELISM" (upper .job)) "value" (.values.parallelism | toString)) -}}
{{- $field := dict "fieldPath" "metadata.annotations['batch.kubernetes.io/job-completion-index']" -}}
{{- $env = append $env (dict "name" "CANDLECAST_JOB_INDEX" "valueFrom" (dict "fieldRef" $field)) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{- define "candlecast.podFailurePolicy" -}}
rules:
  - action: FailJob
    onExitCodes: {operator: In, values: [64, 65, 70, 78]}
  - action: Ignore
    onPodConditions: [{type: DisruptionTarget, status: "True"}]
{{- end -}}

{{- define "candlecast.cronjob" -}}
{{- $values := .values -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "candlecast.metadata" . | nindent 2 }}
spec:
  schedule: {{ $values.schedule | quote }}
  timeZone: {{ $values.timeZone }}
  suspend: {{ $values.suspend }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ $values.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ $values.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ $values.failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "candlecast.selector" . | nindent 8 }}
    spec:
      activeDeadlineSeconds: {{ $values.activeDeadlineSeconds }}
      backoffLimit: {{ $values.backoffLimit }}
      ttlSecondsAfterFinished: {{ $values.ttlSecondsAfterFinished }}
      podFailurePolicy: {{- include "candlecast.podFailurePolicy" . | nindent 8 }}
      {{- with include "candlecast.indexed" . }}
      {{- . | nindent 6 }}
      {{- end }}
      template:
        {{- $env := include "candlecast.indexedEnv" (dict "job" .component "values" $values) | fromJsonArray }}
        {{- $spec := printf "restartPolicy: Never\nterminationGracePeriodSeconds: %v" $values.terminationGracePeriodSeconds }}
        {{- include "candlecast.pod" (merge (dict "database" .role "spec" $spec "env" $env) .) | nindent 8 }}
{{- end -}}
