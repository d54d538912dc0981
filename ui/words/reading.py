"""The sentences of How to read this."""

# ruff: noqa: E501 - a sentence is easier to read and to translate in one line

from __future__ import annotations

from typing import Final

EN: Final[dict[str, str]] = {
    "reading_title": "How to read this",
    "reading_line": "Not investment advice. The pictures on this page are examples, not results.",
    "reading_skill": "Skill: is it better than saying nothing changes?",
    "lesson_skill": "The simplest forecast of a price is the price of now, and it is hard to beat. Skill says how much smaller our mean error was than that one's: 0 is as good as “no change”, below 0 is worse. The bar is the 95 % confidence interval. Only when all of it lies right of the middle may we say better.",
    "reading_coverage": "Coverage: do the intervals keep their promise?",
    "lesson_coverage": "Of all 80 % intervals, 80 in 100 should hold what came. Fewer, and they are too narrow: too sure. More, and they are wider than they need be. The picture shows how far both intervals are from their promise.",
    "reading_calibration": "Calibration: does 40 % mean 40 %?",
    "lesson_calibration": "When we say a rise has a chance of 40 %, it should rise in 40 of 100 such cases. Each dot is a tenth of all forecasts, those with about the same chance. On the dashed line, a chance means what it says.",
    "reading_abstention": "Abstention: when nothing is said",
    "lesson_abstention": "With stale candles, a gap in what the model reads, or candles unlike anything it has seen, we would rather say nothing than guess. Then the chart keeps its candles and the future stays empty.",
    "reading_ledger": "The ledger: written down before",
    "lesson_ledger": "Every forecast is written down before its candle closes, and cannot be changed: the database refuses it, and each row carries the hash of the row before it. Scores come from these rows alone. What is late or missing is counted and shown.",
    "reading_baseline": "Baseline: who answers when no model has earned it",
    "lesson_baseline": "A model answers only after it has beaten “no change” on candles it had not seen. Until then the naive forecast answers, and a dark banner says so.",
    "reading_manual": "The documentation",
    "reading_page": "Page",
    "reading_dashboards": "Dashboards:",
    "reading_service": "The service behind this screen",
    "reading_service_line": "This screen shows what {address} says. Its documentation:",
    "reading_routes": "Every route",
    "reading_no_routes": "The service does not describe its routes.",
    "reading_method": "method",
    "reading_path": "path",
    "reading_what": "what it does",
    "reading_chain_alt": "Four rows, each holding on to the one before it.",
    "reading_blank_alt": "Candles up to now, and an empty space where a forecast would stand.",
}

PT: Final[dict[str, str]] = {
    "reading_title": "Como ler isto",
    "reading_line": "Não é recomendação de investimento. As figuras desta página são exemplos, não resultados.",
    "reading_skill": "Habilidade: é melhor que dizer que nada muda?",
    "lesson_skill": "A previsão mais simples de um preço é o preço de agora, e é difícil de vencer. A habilidade diz quanto nosso erro médio foi menor que o dela: 0 é tão bom quanto “sem mudança”, abaixo de 0 é pior. A barra é o intervalo de confiança de 95 %. Só quando ela toda fica à direita do meio podemos dizer melhor.",
    "reading_coverage": "Cobertura: os intervalos cumprem o que prometem?",
    "lesson_coverage": "De todos os intervalos de 80 %, 80 em 100 devem conter o que veio. Menos, e são estreitos demais: certeza demais. Mais, e são mais largos que o preciso. A figura mostra quanto os dois intervalos se afastam da promessa.",
    "reading_calibration": "Calibração: 40 % quer dizer 40 %?",
    "lesson_calibration": "Quando dizemos que uma alta tem 40 % de chance, ela deve vir em 40 de 100 casos assim. Cada ponto é um décimo das previsões, as de chance parecida. Sobre a linha tracejada, uma chance vale o que diz.",
    "reading_abstention": "Abstenção: quando nada é dito",
    "lesson_abstention": "Com candles velhos, uma lacuna no que o modelo lê, ou candles que não se parecem com nada que ele viu, preferimos não dizer nada a chutar. O gráfico mantém os candles e o futuro fica vazio.",
    "reading_ledger": "O registro: escrito antes",
    "lesson_ledger": "Cada previsão é escrita antes de seu candle fechar e não pode ser mudada: o banco de dados recusa, e cada linha leva o hash da anterior. As notas vêm só dessas linhas. O que atrasa ou falta é contado e mostrado.",
    "reading_baseline": "Referência: quem responde quando nenhum modelo provou seu valor",
    "lesson_baseline": "Um modelo só responde depois de vencer “sem mudança” em candles que não tinha visto. Até lá responde a previsão ingênua, e uma faixa escura diz isso.",
    "reading_manual": "A documentação, em inglês",
    "reading_page": "Página",
    "reading_dashboards": "Painéis:",
    "reading_service": "O serviço por trás desta tela",
    "reading_service_line": "Esta tela mostra o que {address} diz. A documentação dele:",
    "reading_routes": "Todas as rotas",
    "reading_no_routes": "O serviço não descreve suas rotas.",
    "reading_method": "método",
    "reading_path": "caminho",
    "reading_what": "o que faz",
    "reading_chain_alt": "Quatro linhas, cada uma presa à anterior.",
    "reading_blank_alt": "Candles até agora, e um espaço vazio onde estaria uma previsão.",
}
