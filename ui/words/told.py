"""Portuguese for the sentences that the service and the jobs tell in English.

Each pattern is a whole sentence, or a part of one between semicolons; what it catches is told in turn.
"""

# ruff: noqa: E501 - a sentence is easier to read and to translate in one line

from __future__ import annotations

from typing import Final

PT: Final[tuple[tuple[str, str], ...]] = (
    # why a version was promoted or refused
    (
        r"too early: (?P<n>\S+) cutoffs were scored, (?P<least>\S+) are needed",
        "cedo demais: {n} cortes foram avaliados, são precisos {least}",
    ),
    (
        r"its MAE is (?P<x>\S+) of no change's, not below (?P<y>\S+)",
        "seu MAE é {x} do de “sem mudança”, não abaixo de {y}",
    ),
    (
        r"its MAE is (?P<x>\S+) of no change's, which chance explains \(p = (?P<p>\S+), allowed (?P<y>\S+)\)",
        "seu MAE é {x} do de “sem mudança”, o que o acaso explica (p = {p}, permitido {y})",
    ),
    (
        r"its pinball loss is (?P<x>\S+) of the baseline's, not below 1",
        "sua perda pinball é {x} da perda da referência, não abaixo de 1",
    ),
    (
        r"its pinball loss was below the baseline's in (?P<n>\S+) of (?P<all>\S+) consecutive windows, (?P<least>\S+) are needed",
        "sua perda pinball ficou abaixo da referência em {n} de {all} janelas seguidas, são precisas {least}",
    ),
    (
        r"its (?P<n>\S+) % interval covered (?P<x>\S+) %, more than (?P<y>\S+) points off",
        "seu intervalo de {n} % cobriu {x} %, mais de {y} pontos fora",
    ),
    (
        r"its (?P<n>\S+) % interval covered (?P<x>\S+) %, further from its promise than the champion's (?P<y>\S+) %",
        "seu intervalo de {n} % cobriu {x} %, mais longe da promessa que os {y} % do campeão",
    ),
    (
        r"its (?P<what>MAE|pinball loss) is (?P<x>\S+) of the champion's \(p = (?P<p>\S+) for being no worse\)",
        "{what} de {x} do campeão (p = {p} para não ser pior)",
    ),
    (r"pinball loss", "perda pinball"),
    (r"it failed the leak check (?P<name>\w+): (?P<why>.+)", "falhou na verificação de vazamento {name}: {why}"),
    (
        r"AUC (?P<x>\S+) on a signal that was planted, (?P<y>\S+) is the least",
        "AUC {x} em um sinal plantado, o mínimo é {y}",
    ),
    (
        r"forecasts differ by (?P<x>\S+) when the candles after their cutoff are taken away",
        "as previsões diferem em {x} quando se tiram os candles depois do corte",
    ),
    (
        r"MAE ratio (?P<x>\S+) \(p = (?P<p>\S+)\), AUC (?P<y>\S+) \(p = (?P<q>\S+)\) where no skill is to be had",
        "razão de MAE {x} (p = {p}), AUC {y} (p = {q}) onde não há habilidade a ter",
    ),
    (
        r"over (?P<n>\S+) unseen cutoffs its MAE is (?P<x>\S+) of no change's \(p = (?P<p>\S+)\), its pinball loss (?P<y>\S+) of the baseline's",
        "em {n} cortes não vistos seu MAE é {x} do de “sem mudança” (p = {p}), sua perda pinball {y} da referência",
    ),
    (r"there is no champion", "não há campeão"),
    (
        r"the champion has too few cutoffs it did not learn from \((?P<n>\S+)\)",
        "o campeão tem poucos cortes de que não aprendeu ({n})",
    ),
    (r"not worse than the champion \(MAE ratio (?P<x>\S+)\)", "não pior que o campeão (razão de MAE {x})"),
    # why nothing is said
    (r"no candles of (?P<series>\S+) yet", "ainda não há candles de {series}"),
    (r"ask for ingestion or wait for the next one", "peça uma ingestão ou espere a próxima"),
    (r"the newest candle of (?P<series>\S+) closed at (?P<time>.+)", "o candle mais novo de {series} fechou em {time}"),
    (
        r"the newest candle of (?P<series>\S+) arrived after its target time",
        "o candle mais novo de {series} chegou depois da hora prevista",
    ),
    (r"wait for the next one", "espere o próximo"),
    (r"(?P<whose>\S+): have (?P<n>\S+) candles, need (?P<least>\S+)", "{whose}: há {n} candles, são precisos {least}"),
    (r"ingest or send more", "busque ou envie mais"),
    (
        r"(?P<whose>\S+): (?P<n>\S+) candles are missing from (?P<time>.+) on, within the (?P<all>\S+) candles that this forecast reads",
        "{whose}: faltam {n} candles a partir de {time}, dentro dos {all} que esta previsão lê",
    ),
    # why a row cannot be a candle
    (r"duplicate", "repetida"),
    (r"not ascending", "não está em ordem crescente"),
    (r"not finite", "não é um número finito"),
    (r"open_time is missing", "falta a hora de abertura"),
    (r"open_time is not between 1970 and 9999", "a hora de abertura não está entre 1970 e 9999"),
    (r"give epoch milliseconds", "use milissegundos desde 1970"),
    (r"open_time is off the (?P<interval>\S+) grid", "a hora de abertura está fora da grade de {interval}"),
    (r"price is not above zero", "o preço não é maior que zero"),
    (r"high is below open or close", "a máxima está abaixo da abertura ou do fechamento"),
    (r"low is above open or close", "a mínima está acima da abertura ou do fechamento"),
    (r"volume is negative", "o volume é negativo"),
    # what a run does, and what it ended with
    (
        r"(?P<new>\S+) new and (?P<old>\S+) corrected candles in (?P<n>\S+) series",
        "{new} candles novos e {old} corrigidos em {n} séries",
    ),
    (r"(?P<n>\S+) of them from venues that stand in", "{n} deles de corretoras substitutas"),
    (r"(?P<n>\S+) that their venue does not have", "{n} que a corretora não tem"),
    (r"nothing trained", "nada foi treinado"),
    (r"nothing compared", "nada foi comparado"),
    (r"(?P<kind>\S+ \S+) promoted", "{kind} promovido"),
    (r"(?P<kind>\S+ \S+) refused", "{kind} recusado"),
    (r"(?P<kind>\S+ \S+?):? (?P<n>\d+%) drifted", "{kind}: {n} derivou"),
    (r"(?P<kind>\S+): judging on cutoffs from (?P<time>.+) on", "{kind}: avaliando em cortes a partir de {time}"),
    (r"(?P<kind>\S+): fitted on what came before", "{kind}: ajustado no que veio antes"),
    (r"(?P<kind>\S+): fitted again on everything", "{kind}: ajustado de novo em tudo"),
    (r"(?P<kind>\S+): checked for leaks", "{kind}: vazamentos verificados"),
    (r"(?P<kind>\S+): judged (?P<series>\S+)", "{kind}: avaliado em {series}"),
    (r"(?P<kind>\S+): promote: (?P<why>.+)", "{kind}: promover: {why}"),
    (r"(?P<kind>\S+): refuse: (?P<why>.+)", "{kind}: recusar: {why}"),
    (r"(?P<kind>\S+ \S+): candles read", "{kind}: candles lidos"),
    (r"(?P<kind>\S+ \S+): (?P<n>\S+) and (?P<m>\S+) rows", "{kind}: {n} e {m} linhas"),
    (
        r"threw away (?P<n>\S+) runs, (?P<requests>\S+) requests, (?P<pages>\S+) drift pages, (?P<models>\S+) artefacts, (?P<candles>\S+) candles",
        "descartou {n} execuções, {requests} pedidos, {pages} páginas de deriva, {models} artefatos, {candles} candles",
    ),
    # what a feature measures
    (r"the other symbols: (?P<what>.+)", "os outros símbolos: {what}"),
    (r"the newest (?P<interval>\S+) candle inside: (?P<what>.+)", "o candle de {interval} mais novo dentro: {what}"),
    (r"(?P<what>.+) of the newest candle", "{what} do candle mais novo"),
    (r"(?P<what>.+) of the candle (?P<n>\d+) before the newest", "{what} do candle {n} antes do mais novo"),
    (r"(?P<what>.+) of the newest part inside the candle", "{what} da parte mais nova dentro do candle"),
    (
        r"(?P<what>.+) of the part inside the candle (?P<n>\d+) before the newest",
        "{what} da parte {n} antes da mais nova dentro do candle",
    ),
    (r"the return", "o retorno"),
    (r"where between low and high the close lies", "onde, entre mínima e máxima, está o fechamento"),
    (r"high minus low", "máxima menos mínima"),
    (r"close minus open", "fechamento menos abertura"),
    (r"how far the high lies above the body", "quanto a máxima está acima do corpo"),
    (r"how far the low lies below the body", "quanto a mínima está abaixo do corpo"),
    (r"the share of the volume", "a parte do volume"),
    (r"the move over the last (?P<n>\d+) candles", "o movimento dos últimos {n} candles"),
    (r"how far the newest candle moved, against what is usual", "quanto o candle mais novo se moveu, contra o usual"),
    (r"volatility at this time of the day before", "a volatilidade nesta hora do dia anterior"),
    (
        r"volatility of the last (?P<n>\d+) candles, against what is usual",
        "a volatilidade dos últimos {n} candles, contra a usual",
    ),
    (
        r"size of the last (?P<n>\d+) returns, against what is usual",
        "o tamanho dos últimos {n} retornos, contra o usual",
    ),
    (
        r"volume of the last (?P<n>\d+) candles against that of the last (?P<m>\d+)",
        "o volume dos últimos {n} candles contra o dos últimos {m}",
    ),
    (
        r"the (?P<what>\w+ ?\w* return), where the next candle begins at minute (?P<n>\d+)",
        "{what}, quando o próximo candle começa no minuto {n}",
    ),
    (
        r"the (?P<what>\w+ ?\w* return), where the next candle begins an hour",
        "{what}, quando o próximo candle abre uma hora",
    ),
    (
        r"the (?P<what>\w+ ?\w* return), where the next candle begins no hour",
        "{what}, quando o próximo candle não abre uma hora",
    ),
    (
        r"the (?P<what>\w+ ?\w* return), where the next candle begins a quarter of an hour",
        "{what}, quando o próximo candle abre um quarto de hora",
    ),
    (r"last return", "o último retorno"),
    (r"first return", "o primeiro retorno"),
    (r"hour return", "o retorno da hora"),
    (r"three hour return", "o retorno de três horas"),
    (r"quarter return", "o retorno do quarto de hora"),
    (r"where in the hour the next candle begins", "onde, na hora, o próximo candle começa"),
    (r"the hour of the day", "a hora do dia"),
    (r"the day of the week", "o dia da semana"),
    (r"which symbol it is", "qual símbolo é"),
)
