import type { Random } from './sample-random.ts'

/** An invented person, or a bot, of the sample ledger. */
export type Person = { name: string; email: string; id: string }

const FIRST_NAMES = (
  'Ada Alan Amina Ana Anton Aoife Arjun Astrid Beatriz Benedikt Bjarne Camille Carlos Chiara Chidi Dagmar Dario Deepa ' +
  'Dmitri Edith Elif Emeka Emil Esther Farah Felix Femi Freya Giulia Grace Hana Hassan Hedda Hugo Ines Ingrid Ivan Jamal ' +
  'Jana Jonas Joyce Kaito Karin Kenji Kwame Lars Leila Linus Lucia Magnus Mai Marek Mariana Mei Milan Nadia Naomi Nils ' +
  'Noor Olga Omar Oskar Paola Pavel Priya Quentin Rafael Ravi Rosa Ruth Saanvi Salma Sander Sofia Sven Tariq Thandi Tomas ' +
  'Uma Ursula Valentin Vera Viktor Wanda Wei Xenia Yara Yusuf Zainab Zofia'
).split(' ')

const LAST_NAMES = (
  'Abara Adler Almeida Andersen Bakker Banerjee Barros Bauer Benali Berg Brandt Caruso Castillo Chen Cohen Costa Dahl Das ' +
  'Diallo Dubois Eriksen Farouk Fischer Fontana Garcia Gupta Haddad Hansen Hoffmann Horvat Ito Ivanova Jansen Jensen ' +
  'Kaya Keller Kim Kovacs Kruger Larsen Leroy Lindqvist Lopez Maier Marino Mbeki Mehta Moreau Mori Mwangi Nakamura Nguyen ' +
  'Novak Nowak Okafor Okoye Olsen Osei Park Patel Petrov Pires Popescu Ramos Reyes Ricci Rossi Saito Santos Sato Schmidt ' +
  'Sharma Silva Singh Sokolov Soto Suzuki Takahashi Torres Usman Varga Vogel Wagner Wang Weber Yilmaz Zhang Zimmermann'
).split(' ')

const OUTSIDE_DOMAINS = [
  'gmail.com',
  'gmail.com',
  'outlook.com',
  'proton.me',
  'example.com',
  'example.org',
  'example.net',
]

/** Invents people, each with an e-mail address of their own, until the names run out (some thousands). */
export function inventPeople(random: Random): {
  colleague: () => Person
  outsider: (domain?: string) => Person
} {
  const taken = new Set<string>()
  const invent = (emailOf: (first: string, last: string) => string): Person => {
    for (;;) {
      const [first, last] = [random.pick(FIRST_NAMES), random.pick(LAST_NAMES)]
      const email = emailOf(first.toLowerCase(), last.toLowerCase())
      if (taken.has(email)) continue
      taken.add(email)
      return personOf(random, `${first} ${last}`, email)
    }
  }
  return {
    colleague: () => {
      return random.chance(0.6)
        ? invent((first, last) => `${first}.${last}@kilocode.ai`)
        : invent((first, last) => `${first}.${last[0] ?? ''}@kilo.ai`)
    },
    outsider: (domain) =>
      invent((first, last) => `${first}.${last}@${domain ?? random.pick(OUTSIDE_DOMAINS)}`),
  }
}

/** A person of that name and address, with an id as the application makes them: from the sign-in, or a UUID. */
export function personOf(random: Random, name: string, email: string): Person {
  const id = random.chance(0.85) ? `oauth/google:1${random.digits(20)}` : random.uuid()
  return { name, email, id }
}
