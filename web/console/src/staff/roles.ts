import type { Schemas } from '@shared/api'

export const ROLES: Schemas['StaffRole'][] = [
  'owner',
  'marketer',
  'clerk',
  'analyst',
  'brand',
  'privacy',
  'integrator',
]
