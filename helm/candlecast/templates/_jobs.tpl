{{/*
The one skeleton of a scheduled job: (dict "root" $ "component" "training" "values" .Values.training "command" (list ...) "role" "train").

Exit codes are those of candlecast/errors.py. 64, 65, 70 and 78 (usage, data, model, configuration) will not get better
by trying again; everything else counts against backoffLimit, but not a pod that the cluster itself moved away.
*/}}

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
      template:
        {{- $spec := printf "restartPolicy: Never\nterminationGracePeriodSeconds: %v" $values.terminationGracePeriodSeconds }}
        {{- include "candlecast.pod" (merge (dict "database" .role "spec" $spec) .) | nindent 8 }}
{{- end -}}
