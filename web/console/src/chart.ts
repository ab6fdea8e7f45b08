// The look that all charts of days share.
import type { EChartsCoreOption } from 'echarts/core'
import { day } from '@shared/format'

export interface Series {
  name: string
  values: number[]
  bars?: boolean
}

const INK = '#55635f'

export function chartOfDays(
  days: string[],
  series: Series[],
  print: (value: number) => string,
  printShort: (value: number) => string,
): EChartsCoreOption {
  return {
    grid: { left: 4, right: 24, top: series.length > 1 ? 34 : 12, bottom: 4, containLabel: true },
    legend:
      series.length > 1
        ? {
            top: 0,
            left: 0,
            icon: 'roundRect',
            itemWidth: 14,
            itemHeight: 4,
            textStyle: { color: INK },
          }
        : undefined,
    tooltip: {
      trigger: 'axis',
      confine: true,
      valueFormatter: (value: unknown) => print(Number(value)),
    },
    xAxis: {
      type: 'category',
      data: days.map(day),
      axisLabel: { color: INK, hideOverlap: true },
      axisTick: { show: false },
      axisLine: { lineStyle: { color: '#cbd5d2' } },
    },
    yAxis: {
      type: 'value',
      minInterval: 1,
      axisLabel: { color: INK, formatter: printShort },
      splitLine: { lineStyle: { color: '#e9eeec' } },
    },
    series: series.map((one) => ({
      name: one.name,
      type: one.bars ? 'bar' : 'line',
      data: one.values,
      symbol: 'none',
      barMaxWidth: 22,
      itemStyle: one.bars ? { borderRadius: [3, 3, 0, 0] } : undefined,
      lineStyle: { width: 2 },
    })),
  }
}
