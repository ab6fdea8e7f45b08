// The camera as a source of texts: the browser's own detector where there is one, else jsQR.

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>
}
interface DetectorClass {
  new (options: { formats: string[] }): Detector
  getSupportedFormats(): Promise<string[]>
}

export interface Camera {
  close(): void
}

type Read = (video: HTMLVideoElement) => Promise<string>

const FORMATS = ['qr_code', 'code_128', 'code_39', 'data_matrix', 'pdf417']
const EVERY_MS = 150
const SIDE_MAX = 640

async function nativeReader(): Promise<Read | undefined> {
  const found = (window as { BarcodeDetector?: DetectorClass }).BarcodeDetector
  if (!found) return undefined
  const supported = await found.getSupportedFormats().catch((): string[] => [])
  const formats = FORMATS.filter((format) => supported.includes(format))
  if (!formats.includes('qr_code')) return undefined
  const detector = new found({ formats })
  return async (video) => (await detector.detect(video))[0]?.rawValue ?? ''
}

async function scriptReader(): Promise<Read> {
  const { default: jsQR } = await import('jsqr')
  const canvas = document.createElement('canvas')
  const context = canvas.getContext('2d', { willReadFrequently: true })
  return async (video) => {
    const scale = Math.min(1, SIDE_MAX / Math.max(video.videoWidth, video.videoHeight))
    const width = Math.round(video.videoWidth * scale)
    const height = Math.round(video.videoHeight * scale)
    if (!context || width === 0 || height === 0) return ''
    canvas.width = width
    canvas.height = height
    context.drawImage(video, 0, 0, width, height)
    return jsQR(context.getImageData(0, 0, width, height).data, width, height)?.data ?? ''
  }
}

/** Throws the DOMException of getUserMedia: NotAllowedError, NotFoundError, ... */
export async function openCamera(
  video: HTMLVideoElement,
  onText: (text: string) => Promise<void>,
): Promise<Camera> {
  const wanted = { video: { facingMode: 'environment', width: { ideal: 1280 } }, audio: false }
  const stream = await navigator.mediaDevices.getUserMedia(wanted)
  let open = true
  const close = (): void => {
    open = false
    stream.getTracks().forEach((track) => track.stop())
  }
  try {
    video.srcObject = stream
    await video.play()
    const read = (await nativeReader()) ?? (await scriptReader())
    const look = async (): Promise<void> => {
      if (!open) return
      const text = await read(video).catch(() => '')
      if (text && open) await onText(text)
      setTimeout(() => void look(), EVERY_MS)
    }
    void look()
  } catch (error) {
    close()
    throw error
  }
  return { close }
}
